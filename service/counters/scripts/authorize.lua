-- Admit a call: check every meter it is held against, and reserve on all of them or on none.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash (see merge_meters.lua)
-- KEYS[2]  gov:{tenant}:held, a hash: `<meter id> in <epoch>:<window start in µs>:` (parallel calls: the meter id alone)
--          -> what admitted, unfinished calls hold of it, a decimal integer; a field is gone when nothing is held.
--          Fields are longer than 64 bytes on purpose: of shorter ones Redis makes a list, and looks through it
-- KEYS[3]  gov:{tenant}:holds, a hash: request id -> msgpack [fingerprint, expires_us, details, meters, numbers, checked]
--          (as below, `numbers` as answered), or 'e' for one that was settled, released or expired lately
-- KEYS[4]  gov:{tenant}:expiries, a sorted set: request id of each hold by the microsecond it expires
-- KEYS[5]  gov:hold:<request id>, a string: the tenant, for who knows the id alone. Another slot of a cluster: there it is
--          left out and written by index_hold.lua
-- ARGV[1]  msgpack [request_id, fingerprint, details, now_us, expires_us, reserve, checked, meters]; `meters` is msgpack
--          again, so that it is stored as it came, of [texts, amounts]: four texts for each meter, its id, the start
--          `<epoch>:<window start in µs>:` of its state (parallel calls: ''), its kind and its limit; and one amount.
--          Kinds: 'l' kept in the ledger, 'r' in Redis only, 'p' parallel calls; a capital letter is counted and never
--          refuses. An amount '' reserves nothing and asks for any room at all. The first `checked` meters are reserved
--          on, the others only read.
-- Answers  msgpack [outcome, rest]:
--          ok | refused, 'used held used held …' of every meter, before this call
--          repeated, [expires_us, details, 'used held …'] as first answered
--          conflict: the id was used for another call       ended: the id was settled, released or expired
--          cold, [meter id, …] that must be loaded first    stale: a meter is of a newer epoch than the caller knows
--          ahead, the start of a later window than the caller's
--          overdue, as refused, but holds have expired that still take room
--
-- All or nothing, and safe to repeat: a request id that holds is answered as before. Everything is read and understood
-- before the first write, and that is of the one key that was not read: should it be of another type, nothing is held. A
-- Lua number is exact to 2^53: what has more than 15 digits is compared in two parts, and added by HINCRBY. The others are
-- added here and written at once: each command of its own costs more than all the rest.

local request_id, fingerprint, details, now_us, expires_us, reserve, checked, packed = unpack(cmsgpack.unpack(ARGV[1]))

local stored = redis.call('HGET', KEYS[3], request_id)
if stored == 'e' then return cmsgpack.pack({ 'ended' }) end
if stored then
    local is_hold, hold = pcall(cmsgpack.unpack, stored)
    -- What cannot be read is as good as absent.
    if is_hold and type(hold) == 'table' and type(hold[5]) == 'string' then
        if hold[1] ~= fingerprint then return cmsgpack.pack({ 'conflict' }) end
        return cmsgpack.pack({ 'repeated', { hold[2], hold[3], hold[5] } })
    end
end

local ID, STATE, KIND, LIMIT, SIZE = 1, 2, 3, 4, 4
local meters, amounts = unpack(cmsgpack.unpack(packed))
local total = #amounts
local ids, fields = {}, {}
for i = 1, total do
    local at = (i - 1) * SIZE
    ids[i] = meters[at + ID]
    fields[i] = held_field(ids[i], meters[at + STATE])
end
local states, held = {}, {}
if total > 0 then
    states, held = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('HMGET', KEYS[2], unpack(fields))
end

-- Of what limits allow; 64 bits hold the call's own amount beside it.
local MOST_HELD = '9200000000000000000'
-- numbers: used, held, used, held, …
local numbers, cold, damaged = {}, {}, {}
for i = 1, total do
    local at = (i - 1) * SIZE
    local start, used = meters[at + STATE], '0'
    local state = states[i]
    if state and start ~= '' and string.sub(state, 1, #start) == start then
        used = string.match(state, '^%d+$', #start + 1)
        -- Longer than any can be: as good as absent.
        if not used or #used > 19 then state, used = false, '0' end
    elseif start ~= '' then
        local epoch, window_start_us = string.match(start, '^(%d+):(%d+):$')
        local known_epoch, known_start, known_used = string.match(state or '', '^(%d+):(%d+):(%d+)$')
        if known_epoch and (#known_epoch > 10 or #known_start > 16 or #known_used > 19) then known_epoch = nil end
        if not known_epoch then state = false end
        known_epoch, known_start = tonumber(known_epoch or -1), tonumber(known_start or 0)
        if known_epoch > tonumber(epoch) then return cmsgpack.pack({ 'stale' }) end
        if known_epoch < tonumber(epoch) then
            state = false
        elseif known_start > tonumber(window_start_us) then
            return cmsgpack.pack({ 'ahead', known_start })
        end
        -- Else it is of an older window, which has ended: this one begins at zero.
    end
    local kind = meters[at + KIND]
    if not state and (kind == 'l' or kind == 'L') then cold[#cold + 1] = ids[i] end
    local now_held = held[i] or '0'
    -- No number of Redis, or one that HINCRBY could not add to.
    if not (string.find(now_held, '^[1-9]%d*$') or now_held == '0')
        or #now_held > 19 or (#now_held == 19 and now_held > MOST_HELD) then
        damaged[#damaged + 1] = fields[i]
        now_held = '0'
    end
    numbers[2 * i - 1], numbers[2 * i] = used, now_held
end
if #cold > 0 then return cmsgpack.pack({ 'cold', cold }) end

-- used + held + amount against the limit, exactly; what is long is split at the billion.
local function parts(text)
    if #text <= 9 then return 0, tonumber(text) end
    return tonumber(string.sub(text, 1, -10)), tonumber(string.sub(text, -9))
end
local function has_room(used, now_held, amount, limit)
    local any = amount == ''
    if any then amount = '0' end
    if #used <= 15 and #now_held <= 15 and #amount <= 15 and #limit <= 15 then
        local left = tonumber(limit) - used - now_held - amount
        return left > 0 or (left == 0 and not any)
    end
    local high, low = 0, 0
    for _, text in ipairs({ used, now_held, amount }) do
        local more_high, more_low = parts(text)
        high, low = high + more_high, low + more_low
    end
    high, low = high + math.floor(low / 1e9), low % 1e9
    local limit_high, limit_low = parts(limit)
    if high ~= limit_high then return high < limit_high end
    return low < limit_low or (low == limit_low and not any)
end

local refused = false
for i = 1, checked do
    local at = (i - 1) * SIZE
    local kind = meters[at + KIND]
    if (kind == 'l' or kind == 'r' or kind == 'p')
        and not has_room(numbers[2 * i - 1], numbers[2 * i], amounts[i], meters[at + LIMIT]) then
        refused = true
    end
end
local answered = table.concat(numbers, ' ')
if refused then
    local now = string.format('%.0f', now_us)
    local overdue = #redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1) > 0
    return cmsgpack.pack({ overdue and 'overdue' or 'refused', answered })
end

if reserve then
    redis.call('ZADD', KEYS[4], string.format('%.0f', expires_us), request_id)
    if #damaged > 0 then redis.call('HDEL', KEYS[2], unpack(damaged)) end
    local now_held = {}
    for i = 1, checked do
        local before, amount = numbers[2 * i], amounts[i]
        local holds = amount ~= '' and amount ~= '0'
        if holds and (#before > 15 or #amount > 15) then
            redis.call('HINCRBY', KEYS[2], fields[i], amount)
        elseif holds then
            now_held[#now_held + 1] = fields[i]
            now_held[#now_held + 1] = string.format('%.0f', before + amount)
        end
    end
    if #now_held > 0 then redis.call('HSET', KEYS[2], unpack(now_held)) end
    local hold = { fingerprint, expires_us, details, packed, answered, checked }
    redis.call('HSET', KEYS[3], request_id, cmsgpack.pack(hold))
    if KEYS[5] then
        -- As long as the id is remembered after it ended.
        local ttl_ms = math.ceil((expires_us - now_us) / 1000) + 600000
        redis.call('SET', KEYS[5], string.match(KEYS[2], '{(.*)}'), 'PX', string.format('%.0f', ttl_ms))
    end
end
return cmsgpack.pack({ 'ok', answered })
