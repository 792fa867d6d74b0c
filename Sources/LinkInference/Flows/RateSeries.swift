import MastCapture
import MastTimebase

/// Bytes over time in both directions, in bins that double in length instead of growing in number.
package struct RateSeries: Sendable, Hashable {
    package static let mostBins = 4096

    package private(set) var start: Instant
    package private(set) var bin: Interval
    package private(set) var up: [Int] = []
    package private(set) var down: [Int] = []

    package init(start: Instant, bin: Interval = .seconds(1)) {
        self.start = start
        self.bin = bin > .zero ? bin : .seconds(1)
    }

    /// A time before `start` counts in the first bin.
    package mutating func add(bytes: Int, _ direction: FlowDirection, at time: Instant) {
        let offset = max(.zero, time - start)
        while offset.nanoseconds / bin.nanoseconds >= Self.mostBins { coarsen() }
        let index = Int(offset.nanoseconds / bin.nanoseconds)
        while up.count <= index {
            up.append(0)
            down.append(0)
        }
        if direction == .up { up[index] += bytes } else { down[index] += bytes }
    }

    private mutating func coarsen() {
        bin = bin * 2
        up = Self.paired(up)
        down = Self.paired(down)
    }

    private static func paired(_ values: [Int]) -> [Int] {
        stride(from: 0, to: values.count, by: 2).map { values[$0] + ($0 + 1 < values.count ? values[$0 + 1] : 0) }
    }

    package func megabitsPerSecond(_ direction: FlowDirection) -> [Double] {
        (direction == .up ? up : down).map { rounded(Double($0) * 8 / bin.inSeconds / 1e6, 6) }
    }
}

/// Rounds for output, so that JSON shows no tails of binary fractions.
func rounded(_ value: Double, _ digits: Int) -> Double {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    return (value * scale).rounded() / scale
}
