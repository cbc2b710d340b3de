-- Part of scripts that reserve or give back: where in a tenant's hash of what is held a meter is.

-- `start` is `<epoch>:<window start in µs>:`, or '' of parallel calls, which have no window.
local function held_field(meter_id, start)
    if start == '' then return meter_id end
    return meter_id .. ' in ' .. start
end
