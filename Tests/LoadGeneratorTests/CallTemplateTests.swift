import MastLoadGenerator
import Testing

@Suite struct CallTemplateTests {
    /// One document a line.
    private func template(_ text: String, sendsAll: Bool = false) throws -> CallTemplate {
        try CallTemplate(Array(text.utf8), sendsAll: sendsAll) { $0.split(separator: UInt8(ascii: "\n")).map(Array.init) }
    }
    private func texts(_ template: CallTemplate, _ number: Int) -> [String] { template.requests(of: number).map { String(decoding: $0, as: UTF8.self) } }

    @Test func theNumberStandsWhereItIsAskedFor() throws {
        let numbered = try template(#"{"text":"no {{.RequestNumber}}","value":{{ .RequestNumber }}}"#)
        #expect(texts(numbered, 0) == [#"{"text":"no 0","value":0}"#])
        #expect(texts(numbered, 1_234) == [#"{"text":"no 1234","value":1234}"#])
        #expect(try texts(template("{}"), 7) == ["{}"])
        #expect(try texts(template(""), 7) == [])
    }

    @Test func aCheckSeesANumberWhereTheTemplateStands() throws {
        var seen = ""
        _ = try CallTemplate(Array("[{{.RequestNumber}}]".utf8), sendsAll: false) { bytes in
            seen = String(decoding: bytes, as: UTF8.self)
            return [bytes]
        }
        #expect(seen.dropFirst().dropLast().allSatisfy { $0.isNumber })
    }

    @Test func streamsSendAllAndOtherCallsOneInTurn() throws {
        let text = "1{{.RequestNumber}}\n2\n3{{.RequestNumber}}"
        #expect(try texts(template(text, sendsAll: true), 5) == ["15", "2", "35"])
        let inTurn = try template(text)
        #expect((0..<4).flatMap { texts(inTurn, $0) } == ["10", "2", "32", "13"])
    }

    @Test func aNumberThatStandsThereAlreadyIsNoTemplate() throws {
        #expect(try texts(template("7283946150283746159,{{.RequestNumber}},7283946150283746158"), 4) == ["7283946150283746159,4,7283946150283746158"])
    }

    @Test(arguments: ["{{.UUID}}", "{{newUUID}}", "{{}}", #"{"a":"{{ .RequestNumberX }}"}"#])
    func anUnknownActionIsNotSentAsItIs(_ text: String) {
        #expect(throws: CallTemplate.Unknown.self) { try template(text) }
    }

    @Test func bracesOfObjectsAreNoTemplates() throws {
        #expect(try texts(template(#"{"a":{"b":{}}}"#), 1) == [#"{"a":{"b":{}}}"#])
        #expect(try texts(template(#"{"a":"{{ open"}"#), 1) == [#"{"a":"{{ open"}"#])
    }
}
