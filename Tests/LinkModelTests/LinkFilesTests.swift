import MastLinkModel
import MastTimebase
import Testing

/// Text files of links: what each reader takes, and where it stops.
@Suite struct `Files of links` {
    private func line(_ text: String) throws -> PacketSchedule.Line? {
        var schedule = PacketSchedule()
        _ = try schedule.parse(Array("0,1".utf8))
        return try schedule.parse(Array(text.utf8))
    }

    @Test func `A packet's time is read to the nearest nanosecond, up to a century`() throws {
        let rows: [(text: String, nanoseconds: Int64?)] = [
            ("9,5", 9_000_000_000), ("0.0000000005,5", 1), ("0.0000000004999,5", 0), ("1e-9,5", 1), ("5e-10,5", 1), ("4e-10,5", 0), ("1e0,5", 1_000_000_000), ("1e+3,5", 1_000_000_000_000),
            ("1e9,5", 1_000_000_000_000_000_000), ("3153599999.999999999,5", 3_153_599_999_999_999_999), ("3153600000,5", nil), ("1e10,5", nil), ("0e99,5", 0), ("1e-99,5", 0), ("1e-999,5", 0),
            ("1e-1000,5", nil), ("1e1000,5", nil), ("1e,5", nil), ("1e+,5", nil), ("1E-9,5", 1), ("1.5e9x,5", nil), ("1.,5", 1_000_000_000), (".5,5", nil), ("1..5,5", nil), ("+1,5", nil), ("1e1.5,5", nil),
            ("  7,5", 7_000_000_000), ("7, 5 \r", 7_000_000_000), ("7,  5", 7_000_000_000), ("0.12345678901234567890123456789012345,5", 123_456_789),
            ("1000000000000000000000000000000,5", nil), ("0.0000000000000000000000000000000001,5", 0), ("1e9:,5", nil),
        ]
        for row in rows { #expect((try? line(row.text))?.at.nanoseconds == row.nanoseconds, "\(row.text)") }
        // Nine digits of size, and a packet's own bounds.
        for (text, bytes) in [("1,131072", 131_072), ("1,131073", nil), ("1,1", 1), ("1,0", nil), ("1,000131072", 131_072), ("1,0000131072", nil), ("1,9", 9), ("1,5:", nil), ("1,", nil), ("1,  ", nil)] as [(String, Int?)] {
            #expect((try? line(text))?.bytes == bytes, "\(text)")
        }
    }

    @Test func `Only the first line may be a header, and time may stand still`() throws {
        for (first, isHeader) in [("time,bytes", true), ("-1,5", true), ("9,5", false), ("0,5", false), (" 0,5", false), (":", true), ("/", true)] {
            var schedule = PacketSchedule()
            #expect(try (schedule.parse(Array(first.utf8)) == nil) == isHeader, "\(first)")
            let second = #expect(throws: PacketScheduleError.self) { try schedule.parse(Array("time,bytes".utf8)) }
            #expect(second?.description == "line 2: expected seconds and bytes, such as 0.001250,1500")
        }
        var schedule = PacketSchedule()
        for text in ["2,10", "2,20"] { #expect(try schedule.parse(Array(text.utf8))?.at == .zero + .seconds(2)) }
        let back = #expect(throws: PacketScheduleError.self) { try schedule.parse(Array("1.9,10".utf8)) }
        #expect(back?.description == "line 3: time goes backwards; sort the lines")
    }

    private func trains(_ text: String) throws -> PacketTrains { try PacketTrains(cellReplay: Array(text.utf8)) }

    @Test func `Trains are read from any blanks, their lap begins with the first, and their numbers have bounds`() throws {
        let read = try trains("5\t20 0\t3\r\n\n9 0\r\n")
        #expect(read.trains == [.init(at: 0, delay: 20, opportunities: [0, 3]), .init(at: 4, delay: 0)] && read.lines == ["0 20 0 3", "4 0"])
        let isTaken: [(text: String, isTaken: Bool)] = [
            ("0 3600000\n1 0\n", true), ("0 3600001\n1 0\n", false), ("0 1 3600000\n1 0\n", true), ("0 1 3600001\n1 0\n", false), ("0 1\n3456000000 1\n", true), ("0 1\n3456000001 1\n", false),
            ("3 1\n3 1\n", false), ("3 1\n3 1\n4 1\n", true), ("0 1 5 5\n1 0\n", true), ("0 1 5 4\n1 0\n", false), ("0 -1\n1 0\n", false),
        ]
        for row in isTaken { #expect(((try? trains(row.text)) != nil) == row.isTaken, "\(row.text)") }
        #expect(throws: RateSeriesError(line: 3, text: "expected a time, a base delay and opportunities in whole milliseconds, times in order")) { try trains("0 1\n\n5\n") }
        #expect(PacketTrains(trains: [.init(at: -1, delay: 1), .init(at: 5, delay: 1)]) == nil && PacketTrains(trains: []) == nil)
        #expect(PacketTrains(trains: [.init(at: 0, delay: 1, opportunities: [-1]), .init(at: 5, delay: 1)]) == nil)
    }

    @Test func `Offsets by size follow each other by a hundred bytes`() throws {
        var read = try trains("0 1\n9 1\n")
        try read.readSizeOffsets(Array("100\t1.5\r\n\n200 -0.25\n300 0\n".utf8))
        #expect(read.sizeOffsets == [.microseconds(1_500), .microseconds(-250), .zero])
        #expect(throws: RateSeriesError(line: 2, text: "expected 200 and an offset in milliseconds")) { try read.readSizeOffsets(Array("100 1\n300 1\n".utf8)) }
        // What is refused changes nothing.
        #expect(read.sizeOffsets.count == 3)
        func isSet(_ offsets: [Interval]) -> Bool {
            var other = read
            return other.setSizeOffsets(offsets) && other.sizeOffsets == offsets
        }
        let hour = Interval.seconds(3_600)
        #expect(isSet([hour, -hour]) && !isSet([hour + .nanoseconds(1)]) && !isSet([-hour - .nanoseconds(1)]))
        #expect(isSet(Array(repeating: .zero, count: 656)) && !isSet(Array(repeating: .zero, count: 657)))
    }

    @Test func `Of several faults of a trace the first is told`() {
        func reason(_ text: String) -> DeliveryTraceError? {
            do throws(DeliveryTraceError) {
                _ = try DeliveryTrace(mahimahi: Array(text.utf8))
                return nil
            } catch { return error }
        }
        #expect(reason("5\n3\nx\n") == DeliveryTraceError(.backwards(stamp: 3, after: 5), line: 2) && reason("5\nx\n3\n") == DeliveryTraceError(.notANumber, line: 2))
        #expect(reason("3456000000\n") == nil && reason("3456000001\n") == DeliveryTraceError(.stampTooLarge, line: 1) && reason("000000000005\n") == nil)
        #expect(reason("0000000000005\n") == DeliveryTraceError(.stampTooLarge, line: 1) && reason("5\r\r\n") == DeliveryTraceError(.notANumber, line: 1) && reason("5\r") == nil)
        func made(_ stamps: [UInt32], tick: Interval = .milliseconds(1), period: UInt32? = nil, bytes: Int = 1_500) -> DeliveryTraceError? {
            do throws(DeliveryTraceError) {
                _ = try DeliveryTrace(stamps: stamps, tick: tick, periodTicks: period, opportunityBytes: bytes)
                return nil
            } catch { return error }
        }
        #expect(made([1], tick: .seconds(1)) == nil && made([1], tick: .nanoseconds(1_000_000_001))?.reason == .tickOutOfRange && made([1], tick: .zero)?.reason == .tickOutOfRange)
        #expect(made([2], period: 2) == nil && made([2], period: 1)?.reason == .periodTooShort && made([0], period: 0)?.reason == .zeroLength && made([0], period: 1) == nil)
        #expect(made([1], bytes: 64) == nil && made([1], bytes: 63)?.reason == .opportunitySize(63) && made([1], bytes: 65_536) == nil && made([1], bytes: 65_537) != nil)
        #expect(made([3_456_000], tick: .seconds(1)) == nil && made([3_456_001], tick: .seconds(1))?.reason == .stampTooLarge)
    }

    @Test func `Delays may stand between blanks of any kind`() throws {
        #expect(try DelaySeries(milliseconds: Array(" 1\t\r\n\t2 \n".utf8)).values == [.milliseconds(1), .milliseconds(2)])
        #expect(try DelaySeries(milliseconds: Array("3600000\n".utf8)).values == [.seconds(3_600)])
        #expect(throws: RateSeriesError(line: 1, text: "expected a delay in milliseconds")) { try DelaySeries(milliseconds: Array("3600001\n".utf8)) }
    }

    @Test func `Windows line ends are no part of a column's name, and a name's first word says what it is`() throws {
        #expect(try RateSeries(table: Array("t,mbps\r\n0,1\r\n".utf8), column: "mbps").steps.count == 1)
        #expect(try RateSeries(table: Array("mbps,elapsedReal\n1,0\n1,2\n".utf8)).steps.map(\.at) == [.zero, .seconds(2)])
    }

    @Test func `Outages are cleared from then on, however long nobody looked`() {
        var link = Link(LinkProfile(outages: [Outage(start: .seconds(1), duration: .seconds(2))]), seed: 1, direction: .up)
        link.offer(LinkPacket(id: 1, bytes: 100), at: .zero + .milliseconds(1_500))
        link.clearOutages(at: .zero + .seconds(2))
        var outcomes: [LinkOutcome] = []
        link.advance(to: .zero + .seconds(9), &outcomes)
        #expect(outcomes == [.delivered(id: 1, at: .zero + .seconds(2))])
    }
}
