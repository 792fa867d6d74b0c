import MastTransport

/// A call's stream as an attacker writes it, made piece by piece so that the attacker holds none of it.
struct HostileCall {
    /// The envelope's first bytes: the header, and where the message begins.
    let front: [UInt8]
    let filler: Int
    let back: [UInt8]
    /// How much of it is ever sent; less than it has is what makes it unfinished.
    let sends: Int
    let finishes: Bool
    let deadlineMicroseconds: UInt64?

    static let anHour: UInt64 = 3_600_000_000

    private init(_ path: String, message front: [UInt8], filler: Int, back: [UInt8], heldBack: Int, deadline: UInt64?) {
        let header: [UInt8] = [1, 0] + Self.bytes(Self.methodID(path)) + [2, 0]
        var writer = ByteWriter()
        writer.byte(1)
        writer.lengthPrefixed(header)
        writer.byte(2)
        writer.varInt(UInt64(front.count + filler + back.count))
        writer.append(front)
        (self.front, self.filler, self.back, deadlineMicroseconds) = (writer.bytes, filler, back, deadline)
        sends = writer.count + filler + back.count - heldBack
        finishes = heldBack == 0
    }

    /// A call with a JSON message.
    static func json(_ path: String, _ text: String, deadline: UInt64? = nil) -> HostileCall {
        HostileCall(path, message: Array(text.utf8), filler: 0, back: [], heldBack: 0, deadline: deadline)
    }

    /// Echo's `say` with a text of `bytes`.
    static func say(_ bytes: Int, deadline: UInt64? = nil) -> HostileCall {
        HostileCall("echo.v1.Echo/say", message: Array("{\"text\":\"".utf8), filler: bytes, back: Array("\"}".utf8), heldBack: 0, deadline: deadline)
    }

    /// A message of `bytes` whose last byte never comes.
    static func unfinished(_ path: String, _ bytes: Int, deadline: UInt64? = nil) -> HostileCall {
        HostileCall(path, message: [], filler: bytes, back: [], heldBack: 1, deadline: deadline)
    }

    func bytes(_ range: Range<Int>) -> [UInt8] {
        if range.lowerBound >= front.count, range.upperBound <= front.count + filler { return [UInt8](repeating: 0x78, count: range.count) }
        return range.map { $0 < front.count ? front[$0] : $0 < front.count + filler ? 0x78 : back[$0 - front.count - filler] }
    }

    /// FNV-1a, 32 bits.
    private static func methodID(_ path: String) -> UInt32 {
        path.utf8.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }

    private static func bytes(_ word: UInt32) -> [UInt8] { withUnsafeBytes(of: word.bigEndian) { Array($0) } }
}
