-- KEYS: instances, those that have done a drain. ARGV: for how long one is there in ms, how far ahead in ms a time may be: see heartbeat.lua.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return {redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], now + ARGV[2]), redis.call('SMEMBERS', KEYS[2])}
