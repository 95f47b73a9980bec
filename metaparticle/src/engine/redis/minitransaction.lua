-- One minitransaction. A script is one step for everybody else, but what it has written stays if it fails later: so everything
-- that can fail comes before the first write.
--
-- KEYS: the index, the commit's id, then the records compared, read and written, in this order.
-- ARGV: version, '1' to settle, prefix of records, seconds to keep ids, channel to tell, number of writes; then as read below.
local index, commit = KEYS[1], KEYS[2]
local version, settle, prefix, kept, channel, writes = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])

local last_key, last_argument = 2, 6
local function key()
  last_key = last_key + 1
  return KEYS[last_key]
end
local function argument()
  last_argument = last_argument + 1
  return ARGV[last_argument]
end
local function number()
  return tonumber(argument())
end

-- An error here, if the index is something else.
redis.call('ZCARD', index)

local claimed = false
if writes > 0 then
  claimed = redis.call('GET', commit)
  if claimed == 'refused' then
    return {'refused'}
  end
end

local differing, ranges = {}, {}
for i = 1, number() do
  local seen = argument()
  local record = redis.call('GET', key())
  if (record and string.sub(record, 1, 16) or '') ~= seen then
    differing[#differing + 1] = i - 1
    differing[#differing + 1] = record
  end
end
for i = 1, number() do
  local first, past = '[' .. argument(), '(' .. argument()
  local keys = redis.call('ZRANGEBYLEX', index, first, past)
  local count = number()
  local same = count == #keys
  for j = 1, count do
    if argument() ~= keys[j] then
      same = false
    end
  end
  if not same then
    ranges[#ranges + 1] = i - 1
  end
end

local read, page = {}, {}
for i = 1, number() do
  read[i] = redis.call('GET', key())
end
local limit = number()
if limit > 0 then
  local first, past = '[' .. argument(), '(' .. argument()
  for _, name in ipairs(redis.call('ZRANGEBYLEX', index, first, past, 'LIMIT', 0, limit)) do
    page[#page + 1] = name
    page[#page + 1] = redis.call('GET', prefix .. name)
  end
end

if writes > 0 and not claimed then
  if #differing == 0 and #ranges == 0 then
    redis.call('SET', commit, 'applied', 'EX', kept)
    local told = {}
    for i = 1, writes do
      local name, put, bytes = key(), argument() == '1', argument()
      local member = string.sub(name, #prefix + 1)
      if put then
        redis.call('SET', name, version .. bytes)
        redis.call('ZADD', index, 0, member)
      else
        redis.call('DEL', name)
        redis.call('ZREM', index, member)
      end
      told[i] = struct.pack('>I2', #member) .. member
    end
    -- Too much to say means that anything may have changed. If it cannot be said, those who watch look for themselves.
    told = table.concat(told)
    redis.pcall('PUBLISH', channel, #told < 32768 and told or '')
  elseif settle then
    redis.call('SET', commit, 'refused', 'EX', kept)
  end
end
return {claimed or 'new', differing, ranges, read, page}
