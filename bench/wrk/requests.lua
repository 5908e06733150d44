-- What wrk sends: one of the workloads, by name. It reports what the peers must agree on: every answer is 2xx.
-- Arguments: workload, ids of tasks (from 1 to this number), then the ids of items.
local workload, tasks, items
local json = { ["Content-Type"] = "application/json" }
local created = '{"title":"Water the plants","description":"All of them, also the cactus"}'
local credit = '{"valor":1,"tipo":"c","descricao":"hot"}'
local changed = '{"title":"Water the plants","status":"in_progress"}'

function init(args)
  math.randomseed(os.time())
  workload, tasks, items = args[1], tonumber(args[2]), { unpack(args, 3) }
end

local function read() return wrk.format("GET", "/tasks/" .. math.random(tasks)) end

local requests = {
  ping = function() return wrk.format("GET", "/ping") end,
  cached = read,
  uncached = function() return wrk.format("GET", "/items/" .. items[math.random(#items)]) end,
  create = function() return wrk.format("POST", "/tasks", json, created) end,
  row = function() return wrk.format("POST", "/clientes/1/transacoes", json, credit) end,
  rows = function() return wrk.format("POST", "/clientes/" .. math.random(5) .. "/transacoes", json, credit) end,
  mix = function()
    if math.random(10) > 1 then return read() end
    return wrk.format("PUT", "/tasks/" .. math.random(tasks), json, changed)
  end,
}

function request() return requests[workload]() end

function done(summary, latency)
  io.write(string.format('{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"failed":%d}\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
