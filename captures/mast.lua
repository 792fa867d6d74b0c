-- Wireshark dissector for Mast's transport: what anybody on the way can read of it, which is the header, and with a key log
-- of one of the ends the frames inside.
--
-- Try it:       tshark -2 -X lua_script:captures/mast.lua -r captures/calls.pcapng
-- Decrypt:      MAST_KEYLOG=keys.txt mast call …, then with -o mast.keylog:keys.txt (the other mast_….lua have to lie beside this file)
-- Install it:   copy all of them to Wireshark's personal Lua plugins folder (Help > About > Folders).
--
-- A conversation is taken for Mast's once an answer in it matches its opening: a response, cookie reply or list of versions to a
-- handshake's first message, a key answer to a key query. What came before that is shown by the second pass (-2, and always in the
-- window). Conversations recorded from their middle on are shown where the key log has keys for them, and on ports that are
-- named in Preferences > Protocols > MAST. The layouts are in Sources/Transport/Transport.docc/WireFormat.md, the key log's
-- in KeyLog.md beside it.

local mast = Proto("mast", "Mast Transport")

-- By the first byte, of which the two low bits of data packets are flags.
local INITIATION, RESPONSE, COOKIE_REPLY, RESET, DATA, KEY_QUERY, KEY_ANSWER, VERSIONS = 7, 5, 6, 4, 8, 12, 13, 14
local kinds = {
    [INITIATION] = "Initiation", [RESPONSE] = "Response", [COOKIE_REPLY] = "Cookie Reply", [RESET] = "Reset", [DATA] = "Data",
    [KEY_QUERY] = "Key Query", [KEY_ANSWER] = "Key Answer", [VERSIONS] = "Versions",
}
local VERSION = 2
-- Where the fields stand. The destination connection ID is at 1 in every kind.
local VERSION_AT, NUMBER_AT, SOURCE_AT, NONCE_AT, BODY_AT = 9, 9, 10, 10, 18
-- Bytes of a whole datagram: smallest, largest.
local sizes = {
    [INITIATION] = { 1200, 1200 }, [RESPONSE] = { 98, 65535 }, [COOKIE_REPLY] = { 58, 58 }, [DATA] = { 29, 65535 },
    [RESET] = { 25, 25 }, [KEY_QUERY] = { 64, 65535 }, [KEY_ANSWER] = { 50, 50 }, [VERSIONS] = { 19, 50 },
}

local f = {
    kind = ProtoField.uint8("mast.kind", "Packet kind", base.HEX, kinds),
    key_phase = ProtoField.bool("mast.key_phase", "Key phase", 8, nil, 0x01),
    ack_now = ProtoField.bool("mast.ack_now", "Acknowledge now", 8, nil, 0x02),
    version = ProtoField.uint8("mast.version", "Version"),
    dcid = ProtoField.uint64("mast.dcid", "Destination connection ID", base.HEX),
    dcid_route = ProtoField.uint32("mast.dcid.route", "Route", base.HEX),
    dcid_shard = ProtoField.uint8("mast.dcid.shard", "Shard"),
    dcid_random = ProtoField.uint24("mast.dcid.random", "Random part", base.HEX),
    scid = ProtoField.uint64("mast.scid", "Source connection ID", base.HEX),
    scid_route = ProtoField.uint32("mast.scid.route", "Route", base.HEX),
    scid_shard = ProtoField.uint8("mast.scid.shard", "Shard"),
    scid_random = ProtoField.uint24("mast.scid.random", "Random part", base.HEX),
    spoken = ProtoField.uint8("mast.versions", "Version spoken"),
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
    full_number = ProtoField.uint64("mast.full_number", "Packet number"),
    generation = ProtoField.uint32("mast.generation", "Key phases so far"),
}

local e = {
    size = ProtoExpert.new("mast.malformed.size", "Wrong size for this packet kind", expert.group.MALFORMED, expert.severity.ERROR),
    kind = ProtoExpert.new("mast.malformed.kind", "Unknown packet kind", expert.group.MALFORMED, expert.severity.ERROR),
    padding = ProtoExpert.new("mast.malformed.padding", "Padding is not zero", expert.group.MALFORMED, expert.severity.WARN),
    version = ProtoExpert.new("mast.version.unknown", "Unknown version: nobody reads on", expert.group.PROTOCOL, expert.severity.WARN),
    cut = ProtoExpert.new("mast.cut", "Not captured to the end", expert.group.UNDECODED, expert.severity.NOTE),
    reset = ProtoExpert.new("mast.reset", "The peer does not know this connection", expert.group.SEQUENCE, expert.severity.NOTE),
    sealed = ProtoExpert.new("mast.sealed.note", "Not decrypted", expert.group.DECRYPTION, expert.severity.NOTE),
}

-- The files beside this one; nothing but the header is shown without them.
local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or ""
local function beside(name)
    local found, what = pcall(dofile, folder .. name)
    return found and what or nil
end
local inside = beside("mast_frames.lua") or { fields = {}, experts = {} }
local read_log = inside.show and beside("mast_keylog.lua") or function(name)
    local function open() return nil, "mast_keylog.lua or mast_frames.lua is missing beside mast.lua" end
    return { name = name, keys = {}, methods = {}, forget = function() end, open = open }
end
local log = read_log("", folder)

local fields, experts = {}, { e.size, e.kind, e.padding, e.version, e.cut, e.reset, e.sealed }
for _, field in pairs(f) do fields[#fields + 1] = field end
for _, field in pairs(inside.fields) do fields[#fields + 1] = field end
for _, each in ipairs(inside.experts) do experts[#experts + 1] = each end
mast.fields, mast.experts = fields, experts

mast.prefs.ports = Pref.range("UDP ports", "", "UDP ports whose datagrams are Mast's, whatever is in them", 65535)
mast.prefs.heuristic = Pref.bool("Find it on all ports", true, "Take conversations whose opening is answered as Mast does for Mast's")
mast.prefs.keylog = Pref.string("Key log file", "", "What MAST_KEYLOG named when one of the ends ran")

local function kind_of(tvb)
    local first = tvb(0, 1):uint()
    return first >= DATA and first < DATA + 4 and DATA or first
end
local function has_source(kind) return kind == INITIATION or kind == RESPONSE or kind == COOKIE_REPLY or kind == VERSIONS end
local function has_version(kind) return kind ~= DATA and kind ~= RESET end
-- A list of versions is of none itself.
local function version_due(kind) return kind == VERSIONS and 0 or VERSION end
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

local function add_id(tree, tvb, at, whole, route, shard, random)
    local range = part(tvb, at, at + 8)
    if range == nil or range:len() < 8 then return nil end
    local branch = tree:add(whole, range)
    branch:add(route, tvb(at, 4))
    branch:add(shard, tvb(at + 4, 1))
    branch:add(random, tvb(at + 5, 3))
    return string.format("%08x", tvb(at + 4, 4):uint())
end

local function dissect_body(tvb, tree, kind)
    local at = BODY_AT
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
    elseif kind == VERSIONS then
        for each = at, math.min(tvb:len(), sizes[VERSIONS][2]) - 1 do tree:add(f.spoken, tvb(each, 1)) end
    elseif kind == DATA then
        add(tree, f.sealed, part(tvb, NUMBER_AT + 4, -16))
        add(tree, f.tag, part(tvb, tvb:reported_len() - 16))
    elseif kind == RESET then
        add(tree, f.token, part(tvb, 9, 25))
    elseif kind == KEY_QUERY or kind == KEY_ANSWER then
        add(tree, f.nonce, part(tvb, NONCE_AT, NONCE_AT + 8))
        if kind == KEY_ANSWER then
            add(tree, f.key, part(tvb, at, at + 32))
        else
            local padding = part(tvb, at)
            if padding ~= nil then
                local item = tree:add(f.padding, padding)
                if padding:bytes():tohex():find("[^0]") then item:add_proto_expert_info(e.padding) end
            end
        end
    end
end

-- Adds what is inside; text for the packet list.
local function decrypted(tvb, pinfo, tree)
    local plain, number, generation = log:open(tvb:raw(), pinfo.number)
    if plain == nil then
        -- `number` says why.
        tree:add_proto_expert_info(e.sealed, "Not decrypted: " .. number)
        return ""
    end
    tree:add(f.full_number, tvb(NUMBER_AT, 4), UInt64(number % 2 ^ 32, math.floor(number / 2 ^ 32))):set_generated()
    tree:add(f.generation, generation):set_generated()
    return inside.show(ByteArray.new(plain, true):tvb("Decrypted Mast"), tree, log.methods)
end

function mast.dissector(tvb, pinfo, root)
    local length = tvb:reported_len()
    if tvb:len() == 0 then return 0 end
    pinfo.cols.protocol = "MAST"
    local kind = kind_of(tvb)
    local tree = root:add(mast, tvb(), "Mast Transport, " .. (kinds[kind] or ("Unknown kind " .. kind)))
    local info = kinds[kind] or "Unknown kind"
    local kind_item = tree:add(f.kind, tvb(0, 1), kind)
    if kinds[kind] == nil then
        kind_item:add_proto_expert_info(e.kind)
        pinfo.cols.info = info
        return tvb:len()
    end
    if not size_fits(kind, length) then tree:add_proto_expert_info(e.size, kinds[kind] .. " of " .. length .. " bytes") end
    if tvb:len() < length then tree:add_proto_expert_info(e.cut) end

    if kind == DATA then
        kind_item:add(f.key_phase, tvb(0, 1))
        kind_item:add(f.ack_now, tvb(0, 1))
        local flags = tvb(0, 1):uint() - DATA
        if flags % 2 == 1 then info = info .. ", key phase" end
        if flags >= 2 then info = info .. ", ack now" end
    end
    local to = add_id(tree, tvb, 1, f.dcid, f.dcid_route, f.dcid_shard, f.dcid_random)
    if to ~= nil and kind ~= KEY_QUERY and kind ~= KEY_ANSWER then info = info .. ", DCID=" .. to end
    if has_version(kind) and tvb:len() > VERSION_AT then
        local item = tree:add(f.version, tvb(VERSION_AT, 1))
        if tvb(VERSION_AT, 1):uint() ~= version_due(kind) then item:add_proto_expert_info(e.version) end
    end
    if has_source(kind) then
        local from = add_id(tree, tvb, SOURCE_AT, f.scid, f.scid_route, f.scid_shard, f.scid_random)
        if from ~= nil then info = info .. ", SCID=" .. from end
    elseif kind == DATA and tvb:len() >= NUMBER_AT + 4 then
        tree:add(f.number, tvb(NUMBER_AT, 4))
        info = info .. ", number " .. tvb(NUMBER_AT, 4):uint()
    elseif kind == RESET then
        tree:add_proto_expert_info(e.reset)
    end
    dissect_body(tvb, tree, kind)
    info = info .. ", " .. length .. " bytes"
    if kind == DATA and log.name ~= "" and tvb:len() == length and length >= sizes[DATA][1] then
        info = info .. decrypted(tvb, pinfo, tree)
    end
    pinfo.cols.info = info
    return tvb:len()
end

-- Which conversations are Mast's. An opening waits for its answer under what the answer must repeat; beyond a bound, what
-- waits is forgotten. The connection IDs of a handshake that was answered are known wherever their packets come from.
local MOST_OPENINGS = 65536
local openings, waiting, proved, known = {}, 0, {}, {}

function mast.init()
    openings, waiting, proved, known = {}, 0, {}, {}
    log:forget()
end

local function hex(tvb, at, bytes) return tvb(at, bytes):bytes():tohex():lower() end

local function ends(pinfo)
    local from, to = tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
    return from, to, from < to and from .. " " .. to or to .. " " .. from
end

-- What the answer to this opening must repeat, or nil when it opens nothing. A first message of another version has its IDs in
-- the same place.
local function opening(tvb, kind)
    if kind == INITIATION and hex(tvb, 5, 4) == "00000000" and hex(tvb, SOURCE_AT, 8) ~= "0000000000000000" then
        return hex(tvb, SOURCE_AT, 8)
    end
    if kind == KEY_QUERY and tvb(VERSION_AT, 1):uint() == VERSION and hex(tvb, BODY_AT, tvb:len() - BODY_AT):find("[^0]") == nil then
        return "query " .. hex(tvb, NONCE_AT, 8)
    end
end

-- Which opening this answers, and the connection IDs that are settled by it.
local function answered(tvb, kind)
    if tvb(VERSION_AT, 1):uint() ~= version_due(kind) then return nil end
    if kind == RESPONSE then return hex(tvb, 1, 8), hex(tvb, SOURCE_AT, 8) end
    if kind == COOKIE_REPLY or kind == VERSIONS then return hex(tvb, 1, 8) end
    if kind == KEY_ANSWER then return "query " .. hex(tvb, NONCE_AT, 8) end
end

-- In the first pass: whether this waits for its answer, or is one.
local function watch(tvb, pinfo, kind)
    local from, to, both = ends(pinfo)
    local name = opening(tvb, kind)
    if name ~= nil then
        if waiting >= MOST_OPENINGS then openings, waiting = {}, 0 end
        openings[from .. " " .. to .. " " .. name] = true
        waiting = waiting + 1
        return true
    end
    local of, more = answered(tvb, kind)
    if of ~= nil and openings[to .. " " .. from .. " " .. of] then
        proved[both] = true
        if more ~= nil then known[of], known[more] = true, true end
    end
    return false
end

local function heuristic(tvb, pinfo, root)
    -- Most of others' traffic is passed over here.
    if not mast.prefs.heuristic or tvb:len() < 10 then return false end
    local kind = kind_of(tvb)
    if kinds[kind] == nil then return false end
    local _, _, both = ends(pinfo)
    local ours = false
    if tvb:len() > BODY_AT and size_fits(kind, tvb:reported_len()) then
        if kind == DATA or kind == RESET then
            local id = hex(tvb, 1, 8)
            ours = known[id] or log.keys[id] ~= nil
        elseif not pinfo.visited then
            watch(tvb, pinfo, kind)
        end
    end
    if ours or proved[both] then
        mast.dissector(tvb, pinfo, root)
        return true
    end
    -- A first message is shown in the second pass, once its answer has shown that it is one.
    return false
end
mast:register_heuristic("udp", heuristic)

local table_of_ports = DissectorTable.get("udp.port")
local registered = ""
function mast.prefs_changed()
    if mast.prefs.ports ~= registered then
        if registered ~= "" then table_of_ports:remove(registered, mast) end
        registered = mast.prefs.ports
        if registered ~= "" then table_of_ports:add(registered, mast) end
    end
    if mast.prefs.keylog ~= log.name then log = read_log(mast.prefs.keylog, folder) end
end
