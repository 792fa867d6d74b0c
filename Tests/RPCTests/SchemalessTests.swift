import Foundation
import MastRPC
import MastTimebase
import Testing

private struct Tree: Codable, Sendable {
    var name: String
    var children: [Tree]
    var weight: Double?
    var data: ByteString
    var tags: [String: Int]
    var colour: Colour
}
private enum Colour: String, Codable, Sendable, CaseIterable { case red, green }

@Suite struct SchemalessTests {
    @Test func aJSONCallGivesWhatTheTypedCallGives() throws {
        try World().pair(Echo.server()) { client, _, _ in
            let typed = try await client.call(Echo.say, Line(text: "ü \"quoted\"", number: -3))
            var json: [String] = []
            try await client.callJSON(
                "test.v1.Echo/say", semantics: .readOnly, requests: [ByteString(#"{"number":-3,"text":"ü \"quoted\""}"#)]
            ) { json.append($0.text) }
            #expect(json == [#"{"number":-3,"text":"ü \"quoted\""}"#])
            #expect(try JSONDecoder().decode(Line.self, from: Data((json.first ?? "").utf8)) == typed)
        }
    }

    @Test func everyKindCanBeCalledWithJSON() throws {
        try World().pair(Echo.server()) { client, _, _ in
            @Sendable func lines(_ path: String, _ kind: CallKind, _ requests: [String]) async throws -> [String] {
                var lines: [String] = []
                try await client.callJSON(path, kind: kind, requests: requests.map { ByteString($0) }) { lines.append($0.text) }
                return lines
            }
            let three = (0..<3).map { #"{"number":\#($0),"text":"x"}"# }
            do { let value = try await lines("test.v1.Echo/count", .serverStream, [#"{"text":"x","number":3}"#]); #expect(value == three) }
            do { let value = try await lines("test.v1.Echo/sum", .clientStream, three); #expect(value == [#"{"number":3,"text":"sum"}"#]) }
            do { let value = try await lines("test.v1.Echo/chat", .bidiStream, three); #expect(value == three) }
            let error = await failure { _ = try await lines("test.v1.Echo/say", .unary, ["{\"text\":1}"]) }
            #expect(error?.code == .invalidArgument)
            for number in ["1.5", "9223372036854775808"] {
                let error = await failure { _ = try await lines("test.v1.Echo/say", .unary, [#"{"text":"","number":\#(number)}"#]) }
                #expect(error?.code == .invalidArgument && error?.message.contains("a number does not fit") == true, "\(String(describing: error))")
            }
        }
    }

    @Test func aStreamsRequestsLeaveAsTheyCome() throws {
        try World().pair(Echo.server()) { client, _, _ in
            // The next request is made of the last answer, so neither waits for the end of the other.
            let (requests, next) = AsyncStream.makeStream(of: ByteString.self)
            var numbers: [String] = []
            next.yield(ByteString(#"{"number":1,"text":"x"}"#))
            try await client.callJSON("test.v1.Echo/chat", kind: .bidiStream, requests: requests) { answer in
                numbers.append(answer.text)
                if numbers.count == 3 { next.finish() } else { next.yield(ByteString(#"{"number":\#(numbers.count + 1),"text":"x"}"#)) }
            }
            #expect(numbers == (1...3).map { #"{"number":\#($0),"text":"x"}"# })
        }
    }

    @Test func aSourceThatFailsEndsTheCallWithItsOwnError() throws {
        struct Torn: Error {}
        try World().pair(Echo.server()) { client, _, _ in
            let requests = AsyncThrowingStream<ByteString, any Error> { source in
                source.yield(ByteString(#"{"number":1,"text":"x"}"#))
                source.finish(throwing: Torn())
            }
            await #expect(throws: Torn.self) {
                try await client.callJSON("test.v1.Echo/chat", kind: .bidiStream, requests: requests) { _ in }
            }
            let error = await failure { try await client.callJSON("test.v1.Echo/say", kind: .unary, requests: requests) { _ in } }
            #expect(error?.code == .invalidArgument)
        }
    }

    @Test func reflectionListsAndDescribesMethods() throws {
        let grow = ServerStream<Tree, Nothing>("test.v1.Tree/grow", .idempotent)
        try World().pair(RPCServer { grow.handle { _, _ in } }) { client, _, _ in
            let methods = try await client.listMethods()
            #expect(methods.map(\.path) == [
                "mast.v1.Health/check", "mast.v1.Health/datagrams", "mast.v1.Reflection/describe", "mast.v1.Reflection/list", "test.v1.Tree/grow",
            ])
            let method = try await client.describeMethod("test.v1.Tree/grow")
            #expect(method.kind == "serverStream" && method.semantics == "idempotent")
            #expect(method.requestTemplate == #"{"name":"","children":[],"weight":0,"data":"","tags":{"name":0},"colour":"red"}"#)
            #expect(method.responseTemplate == "{}")
            let error = await failure { _ = try await client.describeMethod("test.v1.Tree/fell") }
            #expect(error?.code == .notFound)
        }
    }

    @Test func aTemplateIsAnAcceptableRequest() throws {
        try World().pair(Echo.server()) { client, _, _ in
            let template = try #require(try await client.describeMethod("test.v1.Echo/say").requestTemplate)
            var answers = 0
            try await client.callJSON("test.v1.Echo/say", requests: [ByteString(template)]) { _ in answers += 1 }
            #expect(answers == 1)
        }
    }
}
