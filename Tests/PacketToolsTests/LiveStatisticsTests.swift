import MastCapture
import MastPacketTools
import MastTimebase
import Testing

@Suite struct LiveStatisticsTests {
    /// A raw IPv4 datagram's record, of so many bytes on the wire.
    private func add(_ statistics: inout LiveStatistics, from: UInt8, to: UInt8, bytes: Int) {
        let packet: [UInt8] = [0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to, from << 4, 0, to << 4, 0, 0, 8, 0, 0]
        statistics.add(CaptureRecord(epochNanoseconds: 0, linkType: .raw, wireBytes: bytes), packet.span)
    }

    @Test func `Rates are of the time that passed, each way by this host's addresses`() {
        var statistics = LiveStatistics(local: LocalHosts([NetworkAddress(ipv4: 0x0A00_0001, port: 0)]))
        var now = Instant.zero
        _ = statistics.line(at: now, total: 0, dropped: 0)
        // Two seconds in one piece: the program had been stopped.
        now = now + .seconds(2)
        for _ in 0..<10 { add(&statistics, from: 1, to: 2, bytes: 1_000) }
        for _ in 0..<10 { add(&statistics, from: 2, to: 1, bytes: 3_000) }
        let line = statistics.line(at: now, total: 20, dropped: 7)
        #expect(line.hasPrefix("20 packets, 10/s, out 40.0 kbit/s, in 120 kbit/s, 7 dropped; udp 10.0.0.1:4096 – 10.0.0.2:8192 160 kbit/s"), "\(line)")
        // What was more than a second ago is past.
        now = now + .milliseconds(1_100)
        #expect(statistics.line(at: now, total: 20, dropped: 7).hasPrefix("20 packets, 0/s, 0 bit/s"))
    }
}
