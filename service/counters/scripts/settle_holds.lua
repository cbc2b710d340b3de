-- Settle or release calls: merge what the ledger says of their meters, and give back what they held, in one step.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash (see merge_meters.lua)
-- KEYS[2]  gov:{tenant}:held, KEYS[3] gov:{tenant}:holds, KEYS[4] gov:{tenant}:expiries (see authorize.lua)
-- KEYS[5]  gov:{tenant}:ended, a sorted set: request id of a hold that ended by the microsecond it is forgotten
-- ARGV[1]  msgpack [ttl_seconds, states, ended, forget_us, uses]: `states` as merge_meters.lua takes them; `ended` are
--          request ids whose holds end, remembered until `forget_us` (0: not at all) so that none is used again; `uses` are
--          [request_id, meter_id, `<epoch>:<window start in µs>:`, amount] of meters that are kept in Redis only, counted
--          when the call still holds, or, with the id '', in any case
-- Answers  msgpack: how many holds ended
--
-- Idempotent but for uses with the id '': states are absolute, a hold ends once; one that cannot be read gives nothing back.
-- Everything is read before the first write, and the first writes are those of keys that were not read: a key of another
-- type stops the script before a counter moved. At most 500 states and 500 holds a call.

local ttl_seconds, states, ended, forget_us, uses = unpack(cmsgpack.unpack(ARGV[1]))

-- Field and amount of each meter the call reserved on.
local function reserved_by(stored)
    local hold, reserved = cmsgpack.unpack(stored), {}
    local meters, amounts = unpack(cmsgpack.unpack(hold[4]))
    for i = 1, hold[6] do
        assert(string.find(amounts[i], '^%d*$'))
        reserved[i] = { held_field(meters[4 * i - 3], meters[4 * i - 2]), amounts[i] }
    end
    return reserved
end

local holds = {}
for request_id, stored in pairs(read_fields(KEYS[3], ended)) do
    if stored and stored ~= 'e' then
        local is_hold, reserved = pcall(reserved_by, stored)
        holds[request_id] = is_hold and reserved or {}
    end
end

local meter_ids = meter_ids_of(states)
for _, use in ipairs(uses) do meter_ids[#meter_ids + 1] = use[2] end
local now_at = read_fields(KEYS[1], meter_ids)
local changed = merge(states, now_at)
for _, use in ipairs(uses) do
    local request_id, meter_id, start, amount = unpack(use)
    if request_id == '' or holds[request_id] then
        local known = parse(now_at[meter_id])
        if known and string.format('%.0f:%.0f:', known[1], known[2]) == start then
            now_at[meter_id], changed[meter_id] = start .. string.format('%.0f', known[3] + amount), true
        elseif is_larger(start, '0', now_at[meter_id]) then
            now_at[meter_id], changed[meter_id] = start .. string.format('%.0f', amount), true
        end
    end
end

-- What the calls held is given back: added up first, since each command of its own costs more than the addition. What has
-- more than 15 digits is not exact in a Lua number, and given back by HINCRBY.
local given_back, long, count = {}, {}, 0
local ids, marks, scores = {}, {}, {}
for request_id, reserved in pairs(holds) do
    for _, meter in ipairs(reserved) do
        local field, amount = meter[1], meter[2]
        if #amount > 15 then
            long[#long + 1] = { field, amount }
        elseif amount ~= '' and amount ~= '0' then
            given_back[field] = (given_back[field] or 0) + amount
        end
    end
    count = count + 1
    ids[count], marks[2 * count - 1], marks[2 * count] = request_id, request_id, 'e'
    scores[2 * count - 1], scores[2 * count] = string.format('%.0f', forget_us), request_id
end
local held_fields, left, empty = {}, {}, {}
for field in pairs(given_back) do held_fields[#held_fields + 1] = field end
for field, before in pairs(read_fields(KEYS[2], held_fields)) do
    local amount = given_back[field]
    before = before or ''
    if not string.match(before, '^[1-9]%d*$') or #before > 19 then
        empty[#empty + 1] = field
    elseif #before > 15 or amount > 999999999999999 then
        long[#long + 1] = { field, string.format('%.0f', amount) }
    elseif tonumber(before) <= amount then
        empty[#empty + 1] = field
    else
        left[#left + 1] = field
        left[#left + 1] = string.format('%.0f', before - amount)
    end
end

if count > 0 then
    if forget_us > 0 then redis.call('ZADD', KEYS[5], unpack(scores)) end
    redis.call('ZREM', KEYS[4], unpack(ids))
end
write(KEYS[1], changed, now_at, ttl_seconds)

if count > 0 then
    if forget_us > 0 then redis.call('HSET', KEYS[3], unpack(marks)) else redis.call('HDEL', KEYS[3], unpack(ids)) end
end
in_parts(empty, function(...) redis.call('HDEL', KEYS[2], ...) end)
in_parts(left, function(...) redis.call('HSET', KEYS[2], ...) end)
for _, each in ipairs(long) do
    local after = redis.pcall('HINCRBY', KEYS[2], each[1], '-' .. each[2])
    -- What is no number holds nothing.
    if type(after) == 'table' or after <= 0 then redis.call('HDEL', KEYS[2], each[1]) end
end
return cmsgpack.pack(count)
