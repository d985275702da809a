-- KEYS: drains. ARGV: drain, for how long it is asked for in ms, how far ahead in ms of that its end may be: see heartbeat.lua.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + ARGV[2] + ARGV[3], '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
