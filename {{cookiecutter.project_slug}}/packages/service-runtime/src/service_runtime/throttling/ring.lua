-- Judges one request against any number of windows, at once: it is counted in all of them or in none.
--
-- KEYS   one for each window
-- ARGV   the cost, then for each window: its limit, its period in seconds, and 0 or the number of its shadow rate
-- Returns for each window: 1 if the request fits, what remains, and the microseconds until it would fit and until
-- more remains.
--
-- A window's value is a ring of 21 counters, each for a bucket of a twentieth of the period, the newest first. A
-- request that is let in at a time t finds all that was let in after t - period in them, the oldest one counted
-- whole; so no window of the period's length, wherever it begins, holds more than the limit.

local BUCKETS = 20
local FORMAT = '<I8' .. string.rep('I4', BUCKETS + 1)
local SIZE = 8 + 4 * (BUCKETS + 1)

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local values = redis.call('MGET', unpack(KEYS))
local windows, refused, refused_shadows = {}, false, {}

for i = 1, #KEYS do
  local limit, period, shadow = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local width = period * 1000000 / BUCKETS
  local bucket = math.floor(now / width)
  local counts, sum = {}, 0
  local stored, moved = {}, false
  local age = BUCKETS + 1
  if values[i] and #values[i] == SIZE then
    stored = {struct.unpack(FORMAT, values[i])}
    age = bucket - stored[1]
    if age < 0 then
      -- The clock has gone back. By up to a period, time stands still here until the clock has caught up; by more,
      -- the past keeps its distance. Neither lets in more, and both end within a period.
      if age >= -BUCKETS then bucket = stored[1] else moved = true end
      age = 0
    end
  end
  for j = 0, BUCKETS do
    counts[j] = j >= age and stored[2 + j - age] or 0
    sum = sum + counts[j]
  end

  -- A request that costs more than the limit needs the whole window.
  local price = math.min(cost, limit)
  local wait, left = 0, sum
  for j = BUCKETS, 0, -1 do
    if left + price <= limit then break end
    left = left - counts[j]
    wait = (bucket - j + BUCKETS + 1) * width - now
  end
  if wait > 0 then
    if shadow == 0 then refused = true else refused_shadows[shadow] = true end
  end
  windows[i] = {
    limit = limit, width = width, bucket = bucket, counts = counts, sum = sum, price = price, wait = wait,
    shadow = shadow, moved = moved
  }
end

local answer = {}
for i, w in ipairs(windows) do
  local counted = cost > 0 and not refused and not refused_shadows[w.shadow]
  if counted then
    w.counts[0] = w.counts[0] + w.price
    w.sum = w.sum + w.price
  end
  if counted or w.moved then
    local life = math.ceil((BUCKETS + 1) * w.width / 1000)
    redis.call('SET', KEYS[i], struct.pack(FORMAT, w.bucket, unpack(w.counts, 0, BUCKETS)), 'PX', life)
  end
  local more = 0
  for j = BUCKETS, 0, -1 do
    if w.counts[j] > 0 then
      more = (w.bucket - j + BUCKETS + 1) * w.width - now
      break
    end
  end
  answer[#answer + 1] = w.wait > 0 and 0 or 1
  answer[#answer + 1] = math.max(0, w.limit - w.sum)
  answer[#answer + 1] = math.ceil(w.wait)
  answer[#answer + 1] = math.ceil(more)
end
return answer
