-- Counts a request to all limits or to none; see Memory.take, which this does the
-- same as. Each key has the time until which it owes, in microseconds of the clock
-- of Redis since the epoch below: so near to now, a Lua number has parts of a
-- microsecond too.
--
-- ARGV has first 1, or 0 to count nothing; then for each key the time in which the
-- rate yields a request and the most that can be owed, in nanoseconds. Returns 1 if
-- the request was counted, or 0, and for each key what is owed then, in microseconds
-- rounded up.

local epoch = 1700000000

local time = redis.call('TIME')
local now = (time[1] - epoch) * 1000000 + time[2]

local passes = tonumber(ARGV[1])
local all = {}
for i, key in ipairs(KEYS) do
  local every, depth = ARGV[2 * i] / 1000, ARGV[2 * i + 1] / 1000
  -- A key of another type is an error, which pcall returns as a table.
  local text = redis.pcall('GET', key)
  local till = type(text) == 'string' and tonumber(text) or now
  -- No more than this rate lets anybody owe, now and from now on: it may have been
  -- another rate, and the clock may have been set back. A number that is none is not in
  -- this range.
  local less = till > now + depth
  if less then
    till = now + depth
  elseif not (till > now) then
    till = now
  end
  if till + every > now + depth + 0.1 then -- the numbers are not exact
    passes = 0
  end
  all[i] = {till = till, every = every, less = less}
end

local out = {passes}
for i, key in ipairs(KEYS) do
  local till = all[i].till
  if passes == 1 then
    till = till + all[i].every
  end
  if passes == 1 or all[i].less then
    -- What a very high rate adds may be less than numbers of this size can tell.
    redis.call('SET', key, string.format('%.3f', till), 'PX', math.max(math.ceil((till - now) / 1000), 1))
  end
  out[i + 1] = math.ceil(till - now)
end
return out
