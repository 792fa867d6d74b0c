import Foundation
import MastCapture
import MastTimebase
import Testing

/// The written schema against what the commands print.
@Suite struct LinksSchemaTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "captures").path

    private static func schema(_ program: Program) async throws -> JSONSchema {
        let result = try await program.run("inspect", "--json-schema")
        #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
        return JSONSchema(try result.object())
    }

    @Test func everyFieldHasAUnitAndARuleForNullAndForAbsence() async throws {
        let program = try Program()
        defer { program.remove() }
        let schema = try await Self.schema(program)
        #expect(schema.root["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(schema.definitions.count > 40)
        for (name, definition) in schema.definitions {
            let required = definition["required"] as? [String] ?? []
            for (key, field) in definition["properties"] as? [String: [String: Any]] ?? [:] {
                let place = "\(name).\(key)"
                #expect((field["description"] as? String)?.isEmpty == false, "\(place)")
                let types = JSONSchema.types(field)
                #expect(types.contains("null") == (field["x-null"] != nil), "\(place): a value may be null where, and only where, a rule says when")
                #expect(required.contains(key) == (field["x-absent"] == nil), "\(place): a member may be absent where, and only where, a rule says when")
                // Numbers that count nothing are names.
                let names = ["number", "seed", "numberLow", "version", "stream", "code", "kind", "path"]
                if types.contains("number") || types.contains("integer"), !names.contains(key) { #expect(field["x-unit"] != nil, "\(place) has no unit") }
                for reason in field["x-reason"] as? [String] ?? [] where !reason.hasPrefix("../") {
                    #expect((definition["properties"] as? [String: Any])?[reason] != nil, "\(place): there is no \(reason)")
                }
            }
        }
    }

    @Test func whatIsPrintedIsWritten() async throws {
        let program = try Program()
        defer { program.remove() }
        let schema = try await Self.schema(program)
        let (drive, media) = (Self.captures + "/lte-drive.pcap", Self.captures + "/media.pcapng")
        let (tcp, calls) = (Self.captures + "/tcp-loopback.pcap", Self.captures + "/calls.pcapng")
        let bulk = Self.captures + "/bulk.pcap"
        let nothing = try program.write("nothing.pcap", CaptureWriter(.pcap).header)
        let scenario = try program.write("a.json", Array(#"{"name":"a","up":{"rate":"5mbit","delay":"10ms"},"down":{"trace":{"stamps":[1,2,2,5,9]}}}"#.utf8))
        let lines = try program.write("in.txt", Array("0,1500\n0.01,1500\n0.02,900\n".utf8))
        let runs: [(String, [String])] = [
            ("inspect", ["inspect", drive, "--fit"]), ("inspect", ["inspect", media, "--fit"]), ("inspect", ["inspect", tcp, "--flow", "1"]),
            ("inspect", ["inspect", bulk]), ("inspect", ["inspect", calls, "--filter", "udp", "--from", "0.1", "--to", "2s"]), ("inspect", ["inspect", nothing, "--fit"]),
            ("inspect", ["inspect", tcp, tcp]), ("packetList", ["inspect", tcp, "--packets"]), ("packetList", ["inspect", media, "--packets", "--most", "50"]),
            ("fit", ["fit", drive]), ("fit", ["link", "fit", tcp]), ("linkRun", ["link", "run", "--in", lines, "--rate", "1mbit"]),
            ("linkShow", ["link", "show", scenario]), ("linkLimit", ["link", "limit", "--rate", "5mbit", "--up-bytes", "1000", "--down-bytes", "50000"]),
            ("linkLimitSeries", ["link", "limit", "--rate", "5mbit", "--series", "1s", "--for", "5s"]), ("linkProfiles", ["link", "profiles"]),
            ("scenario", ["link", "profiles", "lte-handover"]), ("replay", ["replay", drive, "--to", "3s"]),
            ("packetReplay", ["replay", tcp, "--mode", "packets", "--out", program.path("out.pcap")]), ("capture", ["capture", "-r", tcp]),
            ("dissection", ["capture", "-r", calls, "--dissect"]),
            ("interfaces", ["capture", "--list"]),
        ]
        for (name, arguments) in runs {
            let result = try await program.run(arguments + ["--json"], within: 300)
            #expect(result.status == 0, "\(arguments): \(result.errors)")
            let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            for fault in schema.faults(in: value, as: name) {
                Issue.record("\(arguments.joined(separator: " ")): \(fault); what is printed is described in Sources/CommandLine/Links/links.schema.json")
            }
        }
    }
}

/// As much of JSON Schema as the written one uses, and its own rule of reasons.
struct JSONSchema {
    let root: [String: Any]
    var definitions: [String: [String: Any]] { root["$defs"] as? [String: [String: Any]] ?? [:] }

    init(_ root: [String: Any]) { self.root = root }

    static func types(_ field: [String: Any]) -> [String] {
        if let one = field["type"] as? String { return [one] }
        if let choices = field["anyOf"] as? [[String: Any]] { return choices.flatMap(types) }
        return field["type"] as? [String] ?? []
    }

    func faults(in value: Any, as name: String) -> [String] {
        guard let definition = definitions[name] else { return ["the schema has no \(name)"] }
        return faults(value, definition, parent: nil, at: name)
    }

    private func faults(_ value: Any, _ field: [String: Any], parent: [String: Any]?, at path: String) -> [String] {
        if let reference = field["$ref"] as? String {
            guard let name = reference.split(separator: "/").last, let definition = definitions[String(name)] else { return ["\(path): no \(reference)"] }
            return faults(value, definition, parent: parent, at: path)
        }
        if let choices = field["anyOf"] as? [[String: Any]] {
            let found = choices.map { faults(value, $0, parent: parent, at: path) }
            return found.contains { $0.isEmpty } ? [] : found[0]
        }
        guard Self.types(field).contains(where: { Self.isA(value, $0) }) else { return ["\(path) is \(value), not \(Self.types(field))"] }
        if let list = value as? [Any] {
            guard let items = field["items"] as? [String: Any] else { return [] }
            return Array(list.enumerated().flatMap { faults($0.element, items, parent: parent, at: "\(path)[\($0.offset)]") }.prefix(20))
        }
        guard let object = value as? [String: Any] else { return [] }
        let properties = field["properties"] as? [String: [String: Any]] ?? [:]
        var found = (field["required"] as? [String] ?? []).filter { object[$0] == nil }.map { "\(path) has no \($0)" }
        for (key, member) in object.sorted(by: { $0.key < $1.key }) {
            if let property = properties[key] {
                found += faults(member, property, parent: object, at: "\(path).\(key)")
                if member is NSNull, let reasons = property["x-reason"] as? [String], !reasons.contains(where: { isGiven($0, object, parent) }) {
                    found.append("\(path).\(key) is null, and none of \(reasons) says why")
                }
            } else if let others = field["additionalProperties"] as? [String: Any] {
                found += faults(member, others, parent: object, at: "\(path).\(key)")
            } else if field["additionalProperties"] as? Bool == false {
                found.append("\(path).\(key) is not in the schema")
            }
        }
        return found
    }

    private func isGiven(_ reason: String, _ object: [String: Any], _ parent: [String: Any]?) -> Bool {
        let value = reason.hasPrefix("../") ? parent?[String(reason.dropFirst(3))] : object[reason]
        return value.map { !($0 is NSNull) } ?? false
    }

    private static func isA(_ value: Any, _ type: String) -> Bool {
        switch type {
        case "null": return value is NSNull
        case "string": return value is String
        case "array": return value is [Any]
        case "object": return value is [String: Any]
        case "boolean": return (value as? NSNumber).map { isBoolean($0) } ?? false
        case "integer": return (value as? NSNumber).map { !isBoolean($0) && $0.doubleValue == $0.doubleValue.rounded() } ?? false
        default: return (value as? NSNumber).map { !isBoolean($0) } ?? false
        }
    }

    /// JSON's true and false are numbers of their own kind.
    private static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" || String(cString: number.objCType) == "B" }
}
