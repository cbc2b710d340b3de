-- Part of scripts that merge states: reading a stored one, and which of two is the larger.

-- A stored field that is not a state, or longer than any can be, is as good as absent.
local function parse(stored)
    local epoch, window_start_us, used = string.match(stored or '', '^(%d+):(%d+):(%d+)$')
    if not epoch or #epoch > 10 or #window_start_us > 16 or #used > 19 then return nil end
    return { tonumber(epoch), tonumber(window_start_us), used }
end

local function is_larger(state, known)
    if not known then return true end
    if state[1] ~= known[1] then return state[1] > known[1] end
    if state[2] ~= known[2] then return state[2] > known[2] end
    -- Decimal strings without leading zeros: the longer is the larger, and of one length the later in order.
    if #state[3] ~= #known[3] then return #state[3] > #known[3] end
    return state[3] > known[3]
end
