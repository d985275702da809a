-- Enters an ask into the book of a server; see lend in book.go, which this does
-- the same as. The book is a text of one line and one more for each loan:
--
--   tenancy.lease/1 RUN EPOCH STAMP REPORTED
--   INSTANCE NUMBER GRANTED WANT ENDS
--
-- A text of another form, one that another run of the server wrote (there, what
-- came after its last snapshot, or what it had not sent to its replica, is
-- missing), and one from the future (the clock was set back) are lost books.
--
-- Returns what is granted and the share, or -1 and -1 when a later ask came before.

local instance, number = ARGV[1], tonumber(ARGV[2])
local total, keep, want = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local hold, life = tonumber(ARGV[6]), tonumber(ARGV[7])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A user who may not ask for the run has a book without one.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and info:match('run_id:(%w+)') or 'unknown'

local function read(text)
  if type(text) ~= 'string' then
    return nil
  end
  local of, epoch, stamp, reported, rest = text:match('^tenancy%.lease/1 (%w+) (%d+) (%d+) (%d+)\n(.*)$')
  if of ~= run or tonumber(stamp) > now or tonumber(epoch) > tonumber(stamp) or rest:match('[^\n]$') then
    return nil
  end
  local book = {epoch = tonumber(epoch), reported = tonumber(reported), loans = {}}
  for line in rest:gmatch('([^\n]*)\n') do
    local r, n, granted, w, ends = line:match('^(%w+) (%d+) (%d+) (%d+) (%d+)$')
    if not r or tonumber(ends) > now + life then
      return nil
    end
    if tonumber(ends) > now then
      table.insert(book.loans, {
        instance = r, number = tonumber(n), granted = tonumber(granted), want = tonumber(w), line = line,
      })
    end
  end
  return book
end

local function fill(n, wants)
  local got = {}
  for i = 1, #wants do
    got[i] = 0
  end
  while true do
    local open = 0
    for i, w in ipairs(wants) do
      if got[i] < w then
        open = open + 1
      end
    end
    if open == 0 or n <= 0 then
      return got
    end
    local each = math.max(1, math.floor(n / open))
    for i, w in ipairs(wants) do
      local more = math.max(0, math.min(each, w - got[i], n))
      got[i] = got[i] + more
      n = n - more
    end
  end
end

local function shares(n, loans)
  local wants, rest = {}, {}
  for i, l in ipairs(loans) do
    wants[i] = l.want
  end
  local out = fill(n, wants)
  for i, l in ipairs(loans) do
    rest[i] = l.granted - out[i]
    n = n - out[i]
  end
  for i, more in ipairs(fill(n, rest)) do
    out[i] = out[i] + more
  end
  return out
end

-- A key of another type is an error of GET, which pcall returns as a table.
local book = read(redis.pcall('GET', KEYS[1])) or {epoch = now, reported = 0, loans = {}}

local me
for i, l in ipairs(book.loans) do
  if l.instance == instance then
    me = i
  end
end
if me and number < book.loans[me].number then
  return {-1, -1}
end
local starting = now < book.epoch + hold
if not me then
  me = #book.loans + 1
  book.loans[me] = {instance = instance, granted = 0}
  if starting then
    book.loans[me].granted = keep
    book.reported = book.reported + keep
  end
end
local limit = total
if starting then
  limit = math.min(limit, book.reported)
end
local mine = book.loans[me]
keep = math.min(keep, mine.granted)
mine.granted, mine.want = keep, want
local share = shares(total, book.loans)[me]
for i, l in ipairs(book.loans) do
  if i ~= me then
    limit = limit - l.granted
  end
end
mine.granted = math.max(keep, math.min(share, limit))
mine.line = string.format('%s %.0f %.0f %.0f %.0f', instance, number, mine.granted, want, now + hold)

local lines = {string.format('tenancy.lease/1 %s %.0f %.0f %.0f', run, book.epoch, now, book.reported)}
for i, l in ipairs(book.loans) do
  lines[i + 1] = l.line
end
redis.call('SET', KEYS[1], table.concat(lines, '\n') .. '\n', 'PX', life)
return {mine.granted, math.min(share, mine.granted)}
