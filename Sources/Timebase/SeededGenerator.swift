/// The project's one specified generator of chance: xoshiro256++ (Blackman and Vigna, 2019), its state
/// filled by SplitMix64 from a 64-bit seed. The same seed gives the same numbers on every machine.
///
/// Use one generator per purpose (`SeededGenerator(seed:stream:)`), so that one more draw for loss does not
/// shift the draws for jitter. It is not a cryptographic generator: live keys come from the system.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    public init(seed: UInt64) {
        var mix = SplitMix64(state: seed)
        (s0, s1, s2, s3) = (mix.next(), mix.next(), mix.next(), mix.next())
    }

    /// An independent stream of the same seed, named by its purpose ("loss.down", "keys").
    public init(seed: UInt64, stream: StaticString) {
        self.init(seed: seed, stream: stream.withUTF8Buffer { FNV1a64.hash($0) })
    }

    /// An independent stream of the same seed, numbered.
    public init(seed: UInt64, stream: UInt64) {
        var mix = SplitMix64(state: seed)
        let base = mix.next()
        var second = SplitMix64(state: base ^ stream)
        self.init(seed: second.next())
    }

    public mutating func next() -> UInt64 {
        let result = rotate(s0 &+ s3, 23) &+ s0
        let t = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = rotate(s3, 45)
        return result
    }

    /// A uniform number in `0 ..< bound` (Lemire's multiply-shift; bias below 2^-64 × bound); 0 when `bound` is 0.
    public mutating func next(below bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }

    /// True with probability `parts / 2^32`. Integer, so that no floating point decides anything.
    public mutating func chance(_ probability: Probability) -> Bool {
        UInt64(next() >> 32) < probability.parts
    }

    private func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }
}

/// A probability in fixed point: `parts` of 2^32. Decisions compare integers; `Double` appears only at the edge.
public struct Probability: Hashable, Comparable, Sendable {
    /// 0 ... 2^32.
    public var parts: UInt64

    public init(parts: UInt64) { self.parts = min(parts, 1 << 32) }
    /// Clamped to 0 ... 1; not-a-number counts as 0.
    public init(_ value: Double) {
        guard value > 0 else { self.init(parts: 0); return }
        self.init(parts: value >= 1 ? 1 << 32 : UInt64((value * 4_294_967_296).rounded()))
    }

    public static let never = Probability(parts: 0)
    public static let always = Probability(parts: 1 << 32)
    public static func < (a: Probability, b: Probability) -> Bool { a.parts < b.parts }
    public var asDouble: Double { Double(parts) / 4_294_967_296 }
}

struct SplitMix64 {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
