import MastLinkModel
import MastTimebase
import Testing

@Suite("Delivery traces")
struct DeliveryTraceTests {
    private func failure(_ text: String) -> DeliveryTraceError? {
        do {
            _ = try DeliveryTrace(mahimahi: Array(text.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test("Mahimahi text is read with and without its last newline")
    func reads() throws {
        #expect(try DeliveryTrace(mahimahi: Array("0\n0\n3\n10\n".utf8)).stamps == [0, 0, 3, 10])
        #expect(try DeliveryTrace(mahimahi: Array("1".utf8)).stamps == [1])
        #expect(try DeliveryTrace(mahimahi: Array("1\r\n2\r\n".utf8)).stamps == [1, 2])
        let trace = try DeliveryTrace(mahimahi: Array("1\n".utf8))
        #expect(trace.meanRate == .megabitsPerSecond(12))
        #expect(trace.mahimahiText == "1\n")
    }

    @Test("a bad trace is refused with its line")
    func refuses() {
        #expect(failure("")?.reason == .empty)
        #expect(failure("1\n\n2\n") == DeliveryTraceError(.blankLine, line: 2))
        #expect(failure("1\n2\n\n") == DeliveryTraceError(.blankLine, line: 3))
        #expect(failure("\n") == DeliveryTraceError(.blankLine, line: 1))
        #expect(failure("5\n3\n") == DeliveryTraceError(.backwards(stamp: 3, after: 5), line: 2))
        #expect(failure("5\n3\n")?.description == "line 2: time goes backwards (3 after 5)")
        #expect(failure("0\n0\n") == DeliveryTraceError(.zeroLength, line: 2))
        #expect(failure("1\nx\n") == DeliveryTraceError(.notANumber, line: 2))
        #expect(failure("-1\n") == DeliveryTraceError(.notANumber, line: 1))
        #expect(failure("1.5\n") == DeliveryTraceError(.notANumber, line: 1))
        #expect(failure("1 2\n") == DeliveryTraceError(.notANumber, line: 1))
        #expect(failure("1\r2\n") == DeliveryTraceError(.notANumber, line: 1))
        #expect(failure("99999999999999999999999\n") == DeliveryTraceError(.stampTooLarge, line: 1))
        #expect(failure("4294967295\n2\n") != nil)
        #expect(throws: DeliveryTraceError(.opportunitySize(0))) {
            try DeliveryTrace(stamps: [1], opportunityBytes: 0)
        }
    }

    @Test("a rate series offers its rate in every step, silence included")
    func rateSeries() throws {
        let trace = try DeliveryTrace(
            rates: [.megabitsPerSecond(12), .bitsPerSecond(0), .kilobitsPerSecond(1200)], step: .milliseconds(500))
        let perStep = [1...500, 501...1000, 1001...1500].map { range in trace.stamps.filter { range.contains(Int($0)) }.count }
        #expect(perStep == [500, 0, 50])
        #expect(trace.period == .milliseconds(1500))
    }

    @Test("a window of a trace serves as the trace did at that time")
    func window() throws {
        let trace = try DeliveryTrace(stamps: [0, 10, 20, 30, 40, 50])
        let window = try trace.window(.milliseconds(15)..<(.milliseconds(40)))
        #expect(window.stamps == [5, 15, 25])
        #expect(window.period == .milliseconds(25))
    }

    @Test("random bytes never do more than throw")
    func garbage() {
        var chance = SeededGenerator(seed: 7)
        let alphabet = Array("0123456789\n\n\r -.x\u{0}".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<Int(chance.next(below: 24))).map { _ in alphabet[Int(chance.next(below: UInt64(alphabet.count)))] }
            _ = try? DeliveryTrace(mahimahi: bytes)
        }
    }
}
