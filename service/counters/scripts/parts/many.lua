-- Part of scripts that read and write many fields: Lua hands no more than some thousand values to a command.

local AT_ONCE = 1000

-- Calls `each` with a thousand of them at a time at most.
local function in_parts(values, each)
    for first = 1, #values, AT_ONCE do
        each(unpack(values, first, math.min(first + AT_ONCE - 1, #values)))
    end
end

-- By field, what a hash has: false where it has nothing.
local function read_fields(key, fields)
    local values, at = {}, 0
    in_parts(fields, function(...)
        for _, value in ipairs(redis.call('HMGET', key, ...)) do
            at = at + 1
            values[fields[at]] = value
        end
    end)
    return values
end
