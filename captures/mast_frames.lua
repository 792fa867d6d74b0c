-- What is inside of Mast's data packets, for mast.lua: frames, by Sources/Transport/Transport.docc/WireFormat.md.

local frames = {
    [0x01] = "Ping", [0x02] = "Ack", [0x03] = "Ack with ECN counts", [0x04] = "Reset Stream", [0x05] = "Stop Sending",
    [0x06] = "Ack with times", [0x07] = "Ack with ECN counts and times", [0x08] = "Stream", [0x09] = "Stream", [0x0A] = "Stream",
    [0x0B] = "Stream", [0x10] = "Max Data", [0x11] = "Max Stream Data", [0x12] = "Max Streams", [0x1A] = "Path Challenge",
    [0x1B] = "Path Response", [0x1C] = "Close",
}

local f = {
    frame = ProtoField.uint8("mast.frame", "Frame", base.HEX, frames, nil),
    path = ProtoField.uint64("mast.ack.path", "Path"),
    largest = ProtoField.uint64("mast.ack.largest", "Largest acknowledged"),
    delay = ProtoField.uint64("mast.ack.delay", "Held back, µs"),
    acknowledged = ProtoField.string("mast.ack.range", "Acknowledged"),
    ect0 = ProtoField.uint64("mast.ack.ect0", "Datagrams marked ECT(0)"),
    ect1 = ProtoField.uint64("mast.ack.ect1", "Datagrams marked ECT(1)"),
    ce = ProtoField.uint64("mast.ack.ce", "Datagrams marked CE"),
    received = ProtoField.uint64("mast.ack.received", "Came at, µs by the receiver's clock"),
    stream = ProtoField.uint64("mast.stream", "Stream"),
    offset = ProtoField.uint64("mast.stream.offset", "Offset"),
    fin = ProtoField.bool("mast.stream.fin", "End of stream"),
    deadline = ProtoField.uint64("mast.stream.deadline", "Remaining time of the call, µs"),
    data = ProtoField.bytes("mast.stream.data", "Stream data"),
    value = ProtoField.uint64("mast.value", "Value"),
    reason = ProtoField.string("mast.close.reason", "Reason"),
    method = ProtoField.string("mast.call.method", "Method"),
}
local malformed = ProtoExpert.new("mast.malformed.frame", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)

local function varint(tvb, at)
    if at >= tvb:len() then return nil end
    local first = tvb(at, 1):uint()
    local width = 2 ^ math.floor(first / 64)
    if at + width > tvb:len() then return nil end
    local value = first % 64
    for i = 1, width - 1 do value = value * 256 + tvb(at + i, 1):uint() end
    return value, at + width
end

-- The head of a call (Sources/RPC/RPC.docc/Envelope.md), if the stream begins with one.
local function method_of(data, methods)
    if data:len() < 8 or data(0, 1):uint() ~= 1 then return nil end
    local length, at = varint(data, 1)
    if length == nil or at + 6 > data:len() or data(at, 1):uint() ~= 1 then return nil end
    local number = data(at + 2, 4):bytes():tohex():lower()
    return methods[number] or ("method " .. number)
end

local function wide(value) return UInt64(value % 2 ^ 32, math.floor(value / 2 ^ 32)) end

-- Each reads its fields behind the type at `at`; where it ends, or nil when they do not fit. The second result is for the list.
local function numbers(...)
    local fields = { ... }
    return function(tvb, tree, at)
        for _, field in ipairs(fields) do
            local value, to = varint(tvb, at)
            if value == nil then return nil end
            tree:add(field, tvb(at, to - at), wide(value))
            at = to
        end
        return at
    end
end
local function word(tvb, tree, at)
    if at + 8 > tvb:len() then return nil end
    tree:add(f.value, tvb(at, 8))
    return at + 8
end
-- Ranges of numbers, newest first (RFC 9000 section 19.3.1), at most 32.
local function ranges(tvb, tree, at, largest)
    local more, to = varint(tvb, at)
    if more == nil or more >= 32 then return nil end
    for each = 0, more do
        local from, gap, length = to, 0, nil
        if each > 0 then
            gap, to = varint(tvb, to)
            if gap == nil or gap + 2 > largest then return nil end
            largest = largest - gap - 2
        end
        length, to = varint(tvb, to)
        if length == nil or length > largest then return nil end
        local text = string.format("%.0f", largest)
        if length > 0 then text = string.format("%.0f-", largest - length) .. text end
        tree:add(f.acknowledged, tvb(from, to - from), text)
        largest = largest - length
    end
    return to
end
-- When packets came (draft-ietf-quic-receive-ts), newest first, in steps of 128 µs; at most 64.
local function times(tvb, tree, at, number)
    local more, to = varint(tvb, at)
    local all, steps = 0, nil
    for _ = 1, more or 0 do
        local gap, count
        gap, to = varint(tvb, to)
        if gap == nil then return nil end
        count, to = varint(tvb, to)
        if count == nil or count == 0 or all + count > 64 or gap + count - 1 > number then return nil end
        number, all = number - gap, all + count
        for _ = 1, count do
            local from, value = to, nil
            value, to = varint(tvb, to)
            if value == nil or steps ~= nil and value > steps then return nil end
            steps = steps == nil and value or steps - value
            tree:add(f.received, tvb(from, to - from), wide(math.min(steps, 2 ^ 56) * 128)):append_text(string.format(" (number %.0f)", number))
            number = number - 1
        end
    end
    return more and to
end
local function acknowledgement(tvb, tree, at, kind)
    local path = varint(tvb, at)
    if path == nil or path >= 2 ^ 32 then return nil end
    at = numbers(f.path)(tvb, tree, at)
    local largest = varint(tvb, at)
    at = numbers(f.largest, f.delay)(tvb, tree, at)
    if at ~= nil then at = ranges(tvb, tree, at, largest) end
    if at ~= nil and kind % 2 == 1 then at = numbers(f.ect0, f.ect1, f.ce)(tvb, tree, at) end
    if at ~= nil and kind >= 0x06 then at = times(tvb, tree, at, largest) end
    return at, path > 0 and " of path " .. path or ""
end
local function close(tvb, tree, at)
    at = numbers(f.value)(tvb, tree, at)
    local length, to = nil, nil
    if at ~= nil then length, to = varint(tvb, at) end
    if length == nil or to + length > tvb:len() then return nil end
    if length > 0 then tree:add(f.reason, tvb(to, length)) end
    return to + length
end
local function stream(tvb, tree, at, kind, methods)
    local id = varint(tvb, at)
    at = numbers(f.stream)(tvb, tree, at)
    if at == nil then return nil end
    local offset, to = varint(tvb, at)
    if offset == nil then return nil end
    tree:add(f.offset, tvb(at, to - at), wide(offset))
    if kind % 4 >= 2 then to = numbers(f.deadline)(tvb, tree, to) end
    local length = nil
    if to ~= nil then length, to = varint(tvb, to) end
    if length == nil or to + length > tvb:len() then return nil end
    if kind % 2 == 1 then tree:add(f.fin, true) end
    local note = " " .. id .. " (" .. offset .. "+" .. length .. (kind % 2 == 1 and ", end)" or ")")
    if length > 0 then
        tree:add(f.data, tvb(to, length))
        local method = offset == 0 and method_of(tvb(to, length):tvb(), methods)
        if method then
            tree:add(f.method, tvb(to, length), method)
            note = note .. " " .. method
        end
    end
    return to + length, note
end
local readers = {
    [0x01] = numbers(), [0x02] = acknowledgement, [0x03] = acknowledgement, [0x04] = numbers(f.stream, f.value, f.value),
    [0x05] = numbers(f.stream, f.value), [0x06] = acknowledgement, [0x07] = acknowledgement, [0x08] = stream, [0x09] = stream,
    [0x0A] = stream, [0x0B] = stream, [0x10] = numbers(f.value), [0x11] = numbers(f.stream, f.value), [0x12] = numbers(f.value),
    [0x1A] = word, [0x1B] = word, [0x1C] = close,
}

-- Adds the frames of a packet to the tree; text for the packet list. `methods` are paths by the number that calls have.
local function show(inside, tree, methods)
    local at, info = 0, ""
    while at < inside:len() do
        local kind, to = varint(inside, at)
        if kind == 0 then
            at = to
        else
            local branch = tree:add(f.frame, inside(at, 1))
            local next, note
            if readers[kind] ~= nil then next, note = readers[kind](inside, branch, to, kind, methods) end
            if next == nil then
                branch:add_proto_expert_info(malformed)
                break
            end
            branch:set_len(next - at)
            info = info .. ", " .. frames[kind] .. (note or "")
            at = next
        end
    end
    return info
end

return { fields = f, experts = { malformed }, show = show }
