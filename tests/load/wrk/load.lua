-- The requests wrk sends, and its figures as one line of JSON.
--
-- wrk … -s load.lua URL -- KIND RUN VALUES [BATCH]
--   KIND    get, authorize, usage or usage_batch
--   RUN     a word no other run used: request ids begin with it
--   VALUES  a file with a virtual key's value on each line; each request takes one at random
--   BATCH   usage events in one body of usage_batch

local threads = 0
local sent = 0
local run, batch, values

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function request_id()
  sent = sent + 1
  return run .. "-" .. number .. "-" .. sent
end

local function any_value() return values[math.random(#values)] end

local function authorize()
  return '{"request_id":"' .. request_id() .. '","virtual_key":"' .. any_value() ..
    '","provider":"openai","model":"gpt-4o","estimated_input_tokens":100,"max_output_tokens":100,"estimated_cost":0.001}'
end

local function usage()
  return '{"request_id":"' .. request_id() .. '","virtual_key":"' .. any_value() ..
    '","provider":"openai","model":"gpt-4o","input_tokens":100,"output_tokens":50,"cost":0.001}'
end

local function usage_batch()
  local events = {}
  for i = 1, batch do events[i] = usage() end
  return "[" .. table.concat(events, ",") .. "]"
end

local function read_values(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

local BODIES = { authorize = authorize, usage = usage, usage_batch = usage_batch }

function init(args)
  local body = BODIES[args[1]]
  run, batch = args[2], tonumber(args[4])
  if not body then
    local always = wrk.format("GET")
    request = function() return always end
    return
  end
  values = read_values(args[3])
  math.randomseed(os.time() + number)
  wrk.headers["Content-Type"] = "application/json"
  request = function() return wrk.format("POST", nil, nil, body()) end
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    'JSON {"requests":%d,"seconds":%f,"bytes":%d,"p50_ms":%f,"p99_ms":%f,"refused":%d,"broken":%d}',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
