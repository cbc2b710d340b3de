-- Admit a call: check every meter it is held against, and reserve on all of them or on none.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash (see merge_meters.lua)
-- KEYS[2]  gov:{tenant}:held, a hash: `<meter id>|<epoch>|<window start in µs>` (parallel calls: the meter id alone) ->
--          what admitted, unfinished calls hold of it, a decimal integer; a field is gone when nothing is held
-- KEYS[3]  gov:{tenant}:holds, a hash: request id -> msgpack [fingerprint, expires_us, details, meters, numbers] (all texts), or 'e'
--          for one that was settled, released or expired lately; `meters` are [meter_id, epoch, window_start_us, kind,
--          amount], `numbers` what was answered
-- KEYS[4]  gov:{tenant}:expiries, a sorted set: request id by the microsecond it expires, or is forgotten
-- KEYS[5]  gov:hold:<request id>, a string: the tenant, for who knows the id alone. Another slot of a cluster: there it is
--          left out and written by index_hold.lua
-- ARGV[1]  msgpack [request_id, fingerprint, details, now_us, expires_us, reserve, meters, others]; meters and others are
--          [meter_id, kind, epoch, window_start_us, limit, amount]: kind 'l' (kept in the ledger), 'r' (in Redis only),
--          'p' (parallel calls); with a capital letter it is counted and never refuses; limit and amount are decimal
--          strings, amount '' reserves nothing and asks for any room at all. `others` are only read.
-- Answers  msgpack, first what became of it, then what goes with that:
--          ok | refused, used, held, used, held, … (before this call, of meters and others, decimal strings)
--          repeated, expires_us, details, used, held, … as first answered
--          conflict: the id was used for another call
--          ended: the id was settled, released or expired
--          cold, meter ids that must be loaded first
--          stale: a meter is of a newer epoch than the caller knows
--          ahead, the start of a later window than the caller's
--          overdue: refused, but holds have expired that still take room
--
-- All or nothing, and safe to repeat: a request id that holds is answered as before. Everything is read and understood
-- before the first write. Numbers of money are compared, and added for that only; held amounts are added by HINCRBY.

local request_id, fingerprint, details, now_us, expires_us, reserve, meters, others = unpack(cmsgpack.unpack(ARGV[1]))

local stored = redis.call('HGET', KEYS[3], request_id)
if stored == 'e' then return cmsgpack.pack({ 'ended' }) end
if stored then
    local hold = cmsgpack.unpack(stored)
    if hold[1] ~= fingerprint then return cmsgpack.pack({ 'conflict' }) end
    return cmsgpack.pack({ 'repeated', hold[2], hold[3], unpack(hold[5]) })
end

local count, total = #meters, #meters + #others
for i = 1, #others do meters[count + i] = others[i] end
if total == 0 and not reserve then return cmsgpack.pack({ 'ok' }) end

local ids = {}
for i = 1, total do ids[i] = meters[i][1] end
local states = total > 0 and redis.call('HMGET', KEYS[1], unpack(ids)) or {}

local used, fields, cold = {}, {}, {}
for i = 1, total do
    local meter = meters[i]
    local kind, epoch, window_start_us = string.lower(meter[2]), meter[3], meter[4]
    used[i] = '0'
    if kind == 'p' then
        fields[i] = meter[1]
    else
        fields[i] = string.format('%s|%.0f|%.0f', meter[1], epoch, window_start_us)
        local stored_epoch, stored_start, stored_used = string.match(states[i] or '', '^(%d+):(%d+):(%d+)$')
        -- Longer than any can be: as good as absent.
        if stored_epoch and (#stored_epoch > 10 or #stored_start > 16 or #stored_used > 19) then stored_epoch = nil end
        local known_epoch, known_start = tonumber(stored_epoch or '-1'), tonumber(stored_start or '0')
        if known_epoch > epoch then return cmsgpack.pack({ 'stale' }) end
        if known_epoch == epoch then
            if known_start > window_start_us then return cmsgpack.pack({ 'ahead', known_start }) end
            -- An older window has ended: this one begins at zero.
            if known_start == window_start_us then used[i] = stored_used end
        elseif kind == 'l' then
            cold[#cold + 1] = meter[1]
        end
    end
end
if #cold > 0 then return cmsgpack.pack({ 'cold', unpack(cold) }) end

local held = total > 0 and redis.call('HMGET', KEYS[2], unpack(fields)) or {}
for i = 1, total do
    if not string.match(held[i] or '', '^%d+$') or #held[i] > 19 then
        if held[i] then held[i] = false; redis.call('HDEL', KEYS[2], fields[i]) end
        held[i] = '0'
    end
end

-- used + held + amount against the limit, exactly: a Lua number is exact to 2^53, longer ones are split at the billion.
local function parts(text)
    if #text <= 9 then return 0, tonumber(text) end
    return tonumber(string.sub(text, 1, -10)), tonumber(string.sub(text, -9))
end
local function has_room(i)
    local limit, amount = meters[i][5], meters[i][6]
    local any = amount == ''
    if any then amount = '0' end
    if #used[i] <= 15 and #held[i] <= 15 and #amount <= 15 and #limit <= 15 then
        local sum = tonumber(used[i]) + tonumber(held[i]) + tonumber(amount)
        return sum < tonumber(limit) or (sum == tonumber(limit) and not any)
    end
    local high, low = 0, 0
    for _, text in ipairs({ used[i], held[i], amount }) do
        local more_high, more_low = parts(text)
        high, low = high + more_high, low + more_low
    end
    high, low = high + math.floor(low / 1e9), low % 1e9
    local limit_high, limit_low = parts(limit)
    if high ~= limit_high then return high < limit_high end
    return low < limit_low or (low == limit_low and not any)
end

local refused, numbers = false, {}
for i = 1, total do
    numbers[2 * i - 1], numbers[2 * i] = used[i], held[i]
    -- A capital letter: in shadow.
    if i <= count and string.find(meters[i][2], '%l') and not has_room(i) then refused = true end
end
if refused then
    if #redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now_us), 'LIMIT', 0, 1) > 0 then
        return cmsgpack.pack({ 'overdue', unpack(numbers) })
    end
    return cmsgpack.pack({ 'refused', unpack(numbers) })
end

if reserve then
    local reserved = {}
    for i = 1, count do
        local meter = meters[i]
        local amount = meter[6] == '' and '0' or meter[6]
        reserved[i] = { meter[1], meter[3], meter[4], string.lower(meter[2]), amount }
        if amount ~= '0' then redis.call('HINCRBY', KEYS[2], fields[i], amount) end
    end
    redis.call('HSET', KEYS[3], request_id, cmsgpack.pack({ fingerprint, expires_us, details, reserved, numbers }))
    redis.call('ZADD', KEYS[4], string.format('%.0f', expires_us), request_id)
    if KEYS[5] then
        -- As long as the id is remembered after it ended.
        local ttl_ms = math.ceil((expires_us - now_us) / 1000) + 600000
        redis.call('SET', KEYS[5], string.match(KEYS[2], '{(.*)}'), 'PX', string.format('%.0f', ttl_ms))
    end
end
return cmsgpack.pack({ 'ok', unpack(numbers) })
