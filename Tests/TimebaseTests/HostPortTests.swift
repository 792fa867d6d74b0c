import MastTimebase
import Testing

@Suite("A server as people write it")
struct HostPortTests {
    @Test("hosts and ports", arguments: [
        ("127.0.0.1:4600", "127.0.0.1:4600"), ("127.0.0.1", "127.0.0.1:7"), ("10.0.0.1:0", "10.0.0.1:0"), ("1.2.3.4:65535", "1.2.3.4:65535"),
        ("[::1]:4600", "[::1]:4600"), ("[::1]", "[::1]:7"), ("::1", "[::1]:7"), ("2001:db8::1:80", "[2001:db8::1:80]:7"),
        ("localhost:80", "localhost:80"), ("localhost", "localhost:7"), ("a-b_c.example.:80", "a-b_c.example.:80"), ("4600.example", "4600.example:7"),
        ("xn--mnchen-3ya.de:1", "xn--mnchen-3ya.de:1"),
    ])
    func good(text: String, meaning: String) throws { #expect(try HostPort(text, defaultPort: 7).description == meaning) }

    @Test("numeric hosts are addresses, others names")
    func kinds() throws {
        #expect(try HostPort("127.0.0.1:9").address == .loopback(port: 9))
        #expect(try HostPort("[::1]:9").address == NetworkAddress(high: 0, low: 1, port: 9))
        let name = try HostPort("host.example:9")
        #expect(name.address == nil && name.host == .name("host.example") && name.port == 9)
    }

    @Test("what is wrong with others is said", arguments: [
        ("", .noHost("")), (":4600", .noHost(":4600")), ("[]:4600", .noHost("[]:4600")),
        ("host:", .noPort("host:")), ("[::1]:", .noPort("[::1]:")),
        ("127.0.0.1:99999", .port("99999", in: "127.0.0.1:99999")), ("host:65536", .port("65536", in: "host:65536")),
        ("host:0x10", .port("0x10", in: "host:0x10")), ("host:-1", .port("-1", in: "host:-1")), ("host:+1", .port("+1", in: "host:+1")),
        ("host: 1", .port(" 1", in: "host: 1")), ("host:١", .port("١", in: "host:١")),
        ("host:99999999999999999999", .port("99999999999999999999", in: "host:99999999999999999999")),
        ("[::1", .brackets("[::1")), ("::1]", .brackets("::1]")), ("[::1]4600", .brackets("[::1]4600")), ("[[::1]]:4", .brackets("[[::1]]:4")),
        ("[host]:4600", .ipv6("host")), ("[127.0.0.1]:4600", .ipv6("127.0.0.1")), ("[1::2::3]:4", .ipv6("1::2::3")), ("a:b:c", .ipv6("a:b:c")),
        ("[fe80::1%eth0]:1", .ipv6("fe80::1%eth0")), ("[::+1]:1", .ipv6("::+1")), ("::12345", .ipv6("::12345")),
        ("300.1.1.1:4600", .ipv4("300.1.1.1")), ("1.2.3:4600", .ipv4("1.2.3")), ("4600", .ipv4("4600")), ("0x7f.0.0.0x1", .ipv4("0x7f.0.0.0x1")),
        ("1.2.3.+4:1", .name("1.2.3.+4")), ("a b:1", .name("a b")), ("-a:1", .name("-a")), ("a..b:1", .name("a..b")), (".:1", .name(".")), ("münchen.de:1", .name("münchen.de")),
    ] as [(String, HostPort.Fault)])
    func bad(text: String, fault: HostPort.Fault) {
        let thrown = #expect(throws: HostPort.Fault.self) { try HostPort(text, defaultPort: 7) }
        #expect(thrown == fault)
    }

    @Test("without a default the port must be there", arguments: ["host", "127.0.0.1", "[::1]", "::1"])
    func noDefault(text: String) {
        #expect(throws: HostPort.Fault.noPort(text)) { try HostPort(text) }
    }

    @Test("labels and names have their lengths")
    func lengths() throws {
        let label = String(repeating: "a", count: 63)
        #expect(try HostPort("\(label):1").host == .name(label))
        #expect(throws: HostPort.Fault.self) { try HostPort("a\(label):1") }
        let long = Array(repeating: label, count: 4).joined(separator: ".")
        #expect(throws: HostPort.Fault.self) { try HostPort("\(long):1") }
        #expect(try HostPort("\(long.dropLast(2)):1").host == .name(String(long.dropLast(2))))
    }
}
