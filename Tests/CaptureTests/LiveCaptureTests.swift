#if os(Linux)
import CaptureKit
import Glibc
import MastCapture
import Testing

@Suite struct LiveCaptureTests {
    private typealias B = CaptureBytes

    private static let mayCapture = geteuid() == 0

    @Test func theLoopbackIsAmongTheInterfaces() throws {
        let all = try LiveCaptureInterface.all()
        #expect(all.filter(\.isLoopback).map(\.name) == ["lo"] && all.first { $0.name == "lo" }?.isUp == true)
    }

    @Test(.enabled(if: mayCapture)) func whoGoesOnWithoutRootIsWhoeverCalledOrNobody() {
        let nobody = LiveCapturePrivileges.named("nobody")
        #expect(nobody != nil && LiveCapturePrivileges.named("root")?.user == 0 && LiveCapturePrivileges.named("no such person") == nil)
        let daemon = LiveCapturePrivileges.lesser(sudoUser: "1", sudoGroup: "2")
        #expect(daemon?.user == 1 && daemon?.group == 2 && daemon?.name == LiveCapturePrivileges.named("daemon")?.name)
        #expect(LiveCapturePrivileges.lesser(sudoUser: "4000123", sudoGroup: "5")?.name == "user 4000123")
        for (user, group) in [(nil, nil), ("0", "0"), ("x", "1"), ("1", nil)] as [(String?, String?)] { #expect(LiveCapturePrivileges.lesser(sudoUser: user, sudoGroup: group) == nobody) }
    }

    @Test(.enabled(if: mayCapture)) func whatIsSentOnADeviceIsCapturedThere() throws {
        var configuration = LiveCapture.Configuration()
        (configuration.filter, configuration.snapLength) = ("udp dst port 53 and udp src port 40000", 50)
        let capture = try LiveCapture(interface: "lo", configuration)
        let injector = try PacketInjector(interface: "lo")
        #expect(capture.linkType == .ethernet && injector.linkType == .ethernet && capture.interface == "lo")
        // A device shows what it sends, and what comes back.
        func captured(_ frame: [UInt8], _ type: LinkType) throws -> (bytes: [UInt8], record: CaptureRecord)? {
            #expect(injector.send(frame, linkType: type))
            var found: (bytes: [UInt8], record: CaptureRecord)?
            for _ in 0..<20 where found == nil {
                let goesOn = capture.take(waiting: 250) { record, bytes in
                    found = (bytes.withUnsafeBufferPointer { Array($0) }, record)
                    return false
                }
                #expect(goesOn)
            }
            // The second copy of it, where there is one.
            _ = capture.take(waiting: 20) { _, _ in true }
            return found
        }
        let packet = B.ipv4(from: 0x7F00_0001, to: 0x7F00_0001, B.udp([UInt8](repeating: 7, count: 30)))
        let whole = try #require(try captured(B.ethernet(packet), .ethernet))
        #expect(whole.bytes == Array(B.ethernet(packet).prefix(50)) && whole.record.wireBytes == 14 + packet.count && whole.record.epochNanoseconds > 1_600_000_000_000_000_000)
        // Of another kind of frame its IP is sent, to everybody.
        let raw = try #require(try captured([0, 0, 0, 2] + packet, .loop))
        #expect(raw.bytes.prefix(14) == [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 0] && raw.bytes[14...] == packet.prefix(36))
        let six = try #require(try captured(B.ipv6(B.udp()), .raw))
        #expect(six.bytes[12..<14] == [0x86, 0xDD])
        #expect(!injector.send([1, 2, 3], linkType: .raw))
        #expect(capture.statistics().received >= 3 && capture.packetCount >= 3 && capture.failure == nil)
    }

    @Test(.enabled(if: mayCapture)) func aFilterThatMeansNothingIsRefused() {
        var configuration = LiveCapture.Configuration()
        configuration.filter = "no such words"
        #expect(throws: CaptureError.self) { try LiveCapture(interface: "lo", configuration) }
    }
}
#endif
