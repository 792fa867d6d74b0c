-- Wireshark dissector for Mast's transport: what anybody on the way can read of it, which is the header.
--
-- Try it:       tshark -X lua_script:captures/mast.lua -r captures/calls.pcapng
-- Install it:   copy this file to Wireshark's personal Lua plugins folder (Help > About > Folders).
--
-- UDP ports 4433, 4460 and 4600 are taken for Mast's (Preferences > Protocols > MAST); on others a conversation is known by its
-- handshake, its key query or their answers. The layouts are in Sources/Transport/Transport.docc/WireFormat.md.

local mast = Proto("mast", "Mast Transport")

local kinds = {
    [1] = "Initiation", [2] = "Response", [3] = "Cookie Reply", [4] = "Data", [5] = "Reset", [6] = "Key Query",
    [7] = "Key Answer",
}
local VERSION = 1
local INITIATION, RESPONSE, COOKIE_REPLY, DATA, RESET, KEY_QUERY, KEY_ANSWER = 1, 2, 3, 4, 5, 6, 7
-- Bytes of a whole datagram: smallest, largest.
local sizes = {
    [INITIATION] = { 1200, 1200 }, [RESPONSE] = { 98, 65535 }, [COOKIE_REPLY] = { 58, 58 }, [DATA] = { 29, 65535 },
    [RESET] = { 25, 25 }, [KEY_QUERY] = { 64, 65535 }, [KEY_ANSWER] = { 42, 42 },
}

local f = {
    kind = ProtoField.uint8("mast.kind", "Packet kind", base.DEC, kinds, 0xF0),
    flags = ProtoField.uint8("mast.flags", "Flags", base.HEX, nil, 0x0F),
    key_phase = ProtoField.bool("mast.key_phase", "Key phase", 8, nil, 0x01),
    ack_now = ProtoField.bool("mast.ack_now", "Acknowledge now", 8, nil, 0x02),
    version = ProtoField.uint8("mast.version", "Version"),
    dcid = ProtoField.uint64("mast.dcid", "Destination connection ID", base.HEX),
    dcid_route = ProtoField.uint32("mast.dcid.route", "Route", base.HEX),
    dcid_local = ProtoField.uint32("mast.dcid.local", "Local part", base.HEX),
    scid = ProtoField.uint64("mast.scid", "Source connection ID", base.HEX),
    scid_route = ProtoField.uint32("mast.scid.route", "Route", base.HEX),
    scid_local = ProtoField.uint32("mast.scid.local", "Local part", base.HEX),
    number = ProtoField.uint32("mast.number", "Packet number (low 32 bits)"),
    ephemeral = ProtoField.bytes("mast.ephemeral", "Ephemeral key"),
    sealed_key = ProtoField.bytes("mast.sealed_key", "Sealed static key"),
    sealed = ProtoField.bytes("mast.sealed", "Sealed"),
    tag = ProtoField.bytes("mast.tag", "Tag"),
    mac1 = ProtoField.bytes("mast.mac1", "MAC1"),
    mac2 = ProtoField.bytes("mast.mac2", "MAC2"),
    nonce = ProtoField.bytes("mast.nonce", "Nonce"),
    token = ProtoField.bytes("mast.token", "Reset token"),
    key = ProtoField.bytes("mast.key", "Static key"),
    padding = ProtoField.bytes("mast.padding", "Padding"),
}
local list = {}
for _, field in pairs(f) do list[#list + 1] = field end
mast.fields = list

local e = {
    size = ProtoExpert.new("mast.malformed.size", "Wrong size for this packet kind", expert.group.MALFORMED, expert.severity.ERROR),
    kind = ProtoExpert.new("mast.malformed.kind", "Unknown packet kind", expert.group.MALFORMED, expert.severity.ERROR),
    flags = ProtoExpert.new("mast.malformed.flags", "Unknown flags", expert.group.MALFORMED, expert.severity.WARN),
    padding = ProtoExpert.new("mast.malformed.padding", "Padding is not zero", expert.group.MALFORMED, expert.severity.WARN),
    version = ProtoExpert.new("mast.version.unknown", "Unknown version: the peer drops it", expert.group.PROTOCOL, expert.severity.WARN),
    cut = ProtoExpert.new("mast.cut", "Not captured to the end", expert.group.UNDECODED, expert.severity.NOTE),
    reset = ProtoExpert.new("mast.reset", "The peer does not know this connection", expert.group.SEQUENCE, expert.severity.NOTE),
}
mast.experts = { e.size, e.kind, e.flags, e.padding, e.version, e.cut, e.reset }

mast.prefs.ports = Pref.range("UDP ports", "4433,4460,4600", "UDP ports whose datagrams are Mast's", 65535)
mast.prefs.heuristic = Pref.bool("Find it on other ports", true, "Take conversations that shake hands as Mast does for Mast's")

local function kind_of(tvb) return math.floor(tvb(0, 1):uint() / 16) end
local function has_version(kind) return kind ~= DATA and kind ~= RESET end
local function size_fits(kind, length) return length >= sizes[kind][1] and length <= sizes[kind][2] end

-- Bytes `from` up to but not including `to`, which count from the end when negative; nil where nothing was captured.
local function part(tvb, from, to)
    if to == nil then to = tvb:len() elseif to < 0 then to = tvb:reported_len() + to end
    to = math.min(to, tvb:len())
    -- Too short a datagram puts what counts from its end before its beginning.
    if from < 0 or from >= to then return nil end
    return tvb(from, to - from)
end

local function add(tree, field, range) if range ~= nil then return tree:add(field, range) end end

local function add_id(tree, tvb, at, whole, route, rest)
    local range = part(tvb, at, at + 8)
    if range == nil or range:len() < 8 then return nil end
    local branch = tree:add(whole, range)
    branch:add(route, tvb(at, 4))
    branch:add(rest, tvb(at + 4, 4))
    return string.format("%08x", tvb(at + 4, 4):uint())
end

local function dissect_body(tvb, tree, kind, at)
    if kind == INITIATION or kind == RESPONSE then
        add(tree, f.ephemeral, part(tvb, at, at + 32))
        at = at + 32
        if kind == INITIATION then
            add(tree, f.sealed_key, part(tvb, at, at + 48))
            at = at + 48
        end
        add(tree, f.sealed, part(tvb, at, -48))
        add(tree, f.tag, part(tvb, tvb:reported_len() - 48, -32))
        add(tree, f.mac1, part(tvb, tvb:reported_len() - 32, -16))
        add(tree, f.mac2, part(tvb, tvb:reported_len() - 16))
    elseif kind == COOKIE_REPLY then
        add(tree, f.nonce, part(tvb, at, at + 8))
        add(tree, f.sealed, part(tvb, at + 8, -16))
        add(tree, f.tag, part(tvb, tvb:reported_len() - 16))
    elseif kind == DATA then
        add(tree, f.sealed, part(tvb, at, -16))
        add(tree, f.tag, part(tvb, tvb:reported_len() - 16))
    elseif kind == RESET then
        add(tree, f.token, part(tvb, at, at + 16))
    elseif kind == KEY_QUERY or kind == KEY_ANSWER then
        add(tree, f.nonce, part(tvb, 2, 10))
        if kind == KEY_ANSWER then
            add(tree, f.key, part(tvb, 10, 42))
        else
            local padding = part(tvb, 10)
            if padding ~= nil then
                local item = tree:add(f.padding, padding)
                if padding:bytes():tohex():find("[^0]") then item:add_proto_expert_info(e.padding) end
            end
        end
    end
end

function mast.dissector(tvb, pinfo, root)
    local length = tvb:reported_len()
    if tvb:len() == 0 then return 0 end
    pinfo.cols.protocol = "MAST"
    local kind = kind_of(tvb)
    local tree = root:add(mast, tvb(), "Mast Transport, " .. (kinds[kind] or ("Unknown kind " .. kind)))
    local info = kinds[kind] or "Unknown kind"
    local kind_item = tree:add(f.kind, tvb(0, 1))
    if kinds[kind] == nil then
        kind_item:add_proto_expert_info(e.kind)
        pinfo.cols.info = info
        return tvb:len()
    end
    if not size_fits(kind, length) then tree:add_proto_expert_info(e.size, kinds[kind] .. " of " .. length .. " bytes") end
    if tvb:len() < length then tree:add_proto_expert_info(e.cut) end

    local flags = tree:add(f.flags, tvb(0, 1))
    local bits = tvb(0, 1):uint() % 16
    if kind == DATA then
        flags:add(f.key_phase, tvb(0, 1))
        flags:add(f.ack_now, tvb(0, 1))
        if bits % 2 == 1 then info = info .. ", key phase" end
        if math.floor(bits / 2) % 2 == 1 then info = info .. ", ack now" end
        bits = bits - bits % 4
    end
    if bits ~= 0 then flags:add_proto_expert_info(e.flags) end

    local at = 1
    if has_version(kind) and tvb:len() > 1 then
        local item = tree:add(f.version, tvb(1, 1))
        if tvb(1, 1):uint() ~= VERSION then item:add_proto_expert_info(e.version) end
        at = 2
    end
    if kind ~= KEY_QUERY and kind ~= KEY_ANSWER then
        local to = add_id(tree, tvb, at, f.dcid, f.dcid_route, f.dcid_local)
        if to ~= nil then info = info .. ", DCID=" .. to end
        at = at + 8
    end
    if kind == INITIATION or kind == RESPONSE or kind == COOKIE_REPLY then
        local from = add_id(tree, tvb, at, f.scid, f.scid_route, f.scid_local)
        if from ~= nil then info = info .. ", SCID=" .. from end
        at = at + 8
    elseif kind == DATA and tvb:len() >= at + 4 then
        tree:add(f.number, tvb(at, 4))
        info = info .. ", number " .. tvb(at, 4):uint()
        at = at + 4
    elseif kind == RESET then
        tree:add_proto_expert_info(e.reset)
    end
    dissect_body(tvb, tree, kind, at)
    pinfo.cols.info = info .. ", " .. length .. " bytes"
    return tvb:len()
end

-- Data and reset have no version to be known by: they follow the handshake of their conversation.
local function heuristic(tvb, pinfo, root)
    if not mast.prefs.heuristic or tvb:len() < 10 then return false end
    local kind = kind_of(tvb)
    if kinds[kind] == nil or not has_version(kind) or not size_fits(kind, tvb:reported_len()) then return false end
    if tvb(0, 1):uint() % 16 ~= 0 or tvb(1, 1):uint() ~= VERSION then return false end
    pinfo.conversation = mast
    mast.dissector(tvb, pinfo, root)
    return true
end
mast:register_heuristic("udp", heuristic)

local table_of_ports = DissectorTable.get("udp.port")
local registered
local function register()
    if registered ~= nil then table_of_ports:remove(registered, mast) end
    registered = mast.prefs.ports
    table_of_ports:add(registered, mast)
end
register()
function mast.prefs_changed()
    if mast.prefs.ports ~= registered then register() end
end
