-- KEYS: instances, drains. ARGV: instance, for how long one is there in ms, for how long a drain is asked for in ms, how far ahead in ms a
-- time may be: what is further ahead is from before the clock went back.
-- Returns the drains that are asked for.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + ARGV[4], '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGEBYSCORE', KEYS[2], now, now + ARGV[3] + ARGV[4])
