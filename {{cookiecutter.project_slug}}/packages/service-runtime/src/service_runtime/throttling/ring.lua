-- Counts a request in several windows at once: in all of them if it fits each, else in none.
--
-- KEYS    one per window
-- ARGV    the cost, which is checked but not counted if it is negative; then for each window its
--         limit, its period in seconds, and 0 or the number of its shadow rate, which never denies
-- Returns for each window 1 if the request fits, the capacity left, and the microseconds until the
--         request would fit and until more capacity is left.
--
-- A value is a ring of 21 counters, the newest first; each covers a bucket of a twentieth of the
-- period. Requests admitted within the period before this one are all in the ring, and the oldest
-- counter counts in full. Hence no window of the period's length ever holds more than the limit.

local BUCKETS = 20
local FORMAT = '<I8' .. string.rep('I4', BUCKETS + 1)
local SIZE = 8 + 4 * (BUCKETS + 1)

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local values = redis.call('MGET', unpack(KEYS))
local windows, denied, denied_shadows = {}, false, {}

for i = 1, #KEYS do
  local limit, period = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local shadow = tonumber(ARGV[3 * i + 1])
  local width = period * 1000000 / BUCKETS
  local bucket = math.floor(now / width)
  local counts, used = {}, 0
  local stored, moved = {}, false
  local age = BUCKETS + 1
  if values[i] and #values[i] == SIZE then
    stored = {struct.unpack(FORMAT, values[i])}
    age = bucket - stored[1]
    if age < 0 then
      -- The clock has gone back. By up to a period, the ring stands still until the clock has
      -- caught up; beyond that, the counters keep their age. Neither admits more than the limit,
      -- and both end within a period.
      if age >= -BUCKETS then bucket = stored[1] else moved = true end
      age = 0
    end
  end
  for j = 0, BUCKETS do
    counts[j] = j >= age and stored[2 + j - age] or 0
    used = used + counts[j]
  end

  -- A request that costs more than the limit needs the whole window.
  local charge = math.min(math.abs(cost), limit)
  local wait, left = 0, used
  for j = BUCKETS, 0, -1 do
    if left + charge <= limit then break end
    left = left - counts[j]
    wait = (bucket - j + BUCKETS + 1) * width - now
  end
  if wait > 0 then
    if shadow == 0 then denied = true else denied_shadows[shadow] = true end
  end
  windows[i] = {
    limit = limit, width = width, bucket = bucket, counts = counts, used = used, charge = charge,
    wait = wait, shadow = shadow, moved = moved
  }
end

local reply = {}
for i, w in ipairs(windows) do
  local counted = cost > 0 and not denied and not denied_shadows[w.shadow]
  if counted then
    w.counts[0] = w.counts[0] + w.charge
    w.used = w.used + w.charge
  end
  if counted or w.moved then
    local ring = struct.pack(FORMAT, w.bucket, unpack(w.counts, 0, BUCKETS))
    redis.call('SET', KEYS[i], ring, 'PX', math.ceil((BUCKETS + 1) * w.width / 1000))
  end
  local more = 0
  for j = BUCKETS, 0, -1 do
    if w.counts[j] > 0 then
      more = (w.bucket - j + BUCKETS + 1) * w.width - now
      break
    end
  end
  reply[#reply + 1] = w.wait > 0 and 0 or 1
  reply[#reply + 1] = math.max(0, w.limit - w.used)
  reply[#reply + 1] = math.ceil(w.wait)
  reply[#reply + 1] = math.ceil(more)
end
return reply
