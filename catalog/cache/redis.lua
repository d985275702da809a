-- What caches of one catalog share. KEYS[1] is the state, a hash: the run of the
-- server and the epoch, which change when something may have been lost; seq, the
-- number of the last change; last, the ID of its entry in the log. KEYS[2] is the
-- log, and the other keys are records. A record is a text, FORMAT EPOCH SEQ TIME JSON:
-- the JSON is what the origin said after TIME and after the change of that number. A
-- dash in its place says that a change of that number came, and that what a load has
-- found that began before must not be stored.
--
-- ARGV[1] is what to do, ARGV[2] an epoch for when a new one is due.

local todo, fresh = ARGV[1], ARGV[2]
local state, log = KEYS[1], KEYS[2]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A user who may not ask for the run does not see a restart from a snapshot, and
-- no fail-over.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and info:match('run_id:(%w+)') or 'unknown'

local was = redis.call('HMGET', state, 'run', 'epoch', 'seq', 'last')
local epoch, seq, last = was[2], tonumber(was[3] or 0), was[4] or '0-0'
if not was[4] then
  redis.call('PEXPIRE', log, 0) -- the log of a state that was removed: nobody knows its last entry
end
if was[1] ~= run or not epoch or todo == 'reset' then
  epoch, seq = fresh, math.max(now, seq + 1)
  redis.call('HSET', state, 'run', run, 'epoch', epoch, 'seq', string.format('%.0f', seq), 'last', last)
  redis.call('PEXPIRE', state, 86400000)
end

-- Returns the epoch, the number of the last change, the time, and the text.
if todo == 'read' then
  local text = redis.pcall('GET', KEYS[3])
  return {epoch, string.format('%.0f', seq), string.format('%.0f', now), type(text) == 'string' and text or ''}
end

-- ARGV: format, and what a read has returned: epoch, seq, time; how long a load may
-- take (microseconds), how long a record is kept (milliseconds), JSON. Returns 1 if
-- it was stored.
if todo == 'fill' then
  local format, of, at, began = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
  if of ~= epoch or now < began or now > began + tonumber(ARGV[7]) then
    return 0
  end
  -- What another version of the program wrote says the same about changes. Where
  -- nothing is, there may have been a mark, if any change came.
  local text = redis.pcall('GET', KEYS[3])
  local stored_epoch, stored, loaded = nil, nil, nil
  if type(text) == 'string' then
    stored_epoch, stored, loaded = text:match('^%S+ (%S+) (%d+) (%d+) ')
  end
  if stored_epoch ~= epoch then
    stored, loaded = seq, 0
  end
  loaded = tonumber(loaded)
  if tonumber(stored) > at or loaded > began and loaded <= now then
    return 0
  end
  redis.call('SET', KEYS[3], table.concat({format, epoch, ARGV[5], ARGV[6], ARGV[9]}, ' '), 'PX', ARGV[8])
  return 1
end

-- ARGV: format, who says it, the refs as the log has them, how long the mark of a
-- change is kept and the log's life (milliseconds), how many changes it has.
if todo == 'change' then
  seq = math.max(now, seq + 1)
  local mark = table.concat({ARGV[3], epoch, string.format('%.0f', seq), string.format('%.0f', now), '-'}, ' ')
  for i = 3, #KEYS do
    redis.call('SET', KEYS[i], mark, 'PX', ARGV[6])
  end
  local id = redis.call('XADD', log, 'MAXLEN', '~', ARGV[8], '*', 'after', last, 'by', ARGV[4], 'refs', ARGV[5])
  redis.call('HSET', state, 'seq', string.format('%.0f', seq), 'last', id)
  redis.call('PEXPIRE', log, ARGV[7])
  redis.call('PEXPIRE', state, ARGV[7])
  return 1
end

-- ARGV: the log's life. Returns the epoch and the ID of the last entry in the log.
redis.call('PEXPIRE', state, ARGV[3])
redis.call('PEXPIRE', log, ARGV[3])
return {epoch, last}
