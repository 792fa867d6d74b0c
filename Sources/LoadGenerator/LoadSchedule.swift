import MastTimebase

/// When each call of a run is meant to begin: so many calls a second over time, in straight pieces, the last rate held.
///
/// Call n is due when the rate's integral has reached n, so no rounding adds up over a run. A warm-up at the first rate may
/// come before; its calls have the first numbers, and are not counted.
package struct LoadSchedule: Sendable {
    /// In calls a second.
    package enum Shape: Sendable, Hashable {
        case constant(Double)
        /// In a straight line.
        case ramp(from: Double, to: Double, over: Interval)
        /// One after the other.
        case steps([Double], each: Interval)
    }

    private struct Piece {
        /// Where it begins: seconds, and calls due before.
        var seconds, calls: Double
        /// Calls a second there, and how that changes each second.
        var rate, slope: Double
    }

    package let shape: Shape
    package let warmup: Interval
    package let warmupCalls: Int
    private let pieces: [Piece]
    /// The first number that is not called any more.
    private let callsEnd: Int
    /// From when on none is due any more.
    private let timeEnd: Interval

    /// - Parameters:
    ///   - calls: counted ones, at most.
    ///   - length: the counted part's, at most.
    package init(_ shape: Shape, calls: Int? = nil, length: Interval? = nil, warmup: Interval = .zero) {
        let warmupCalls: Int
        (pieces, warmupCalls) = Self.pieces(of: shape, warmup: warmup)
        (self.shape, self.warmup, self.warmupCalls) = (shape, warmup, warmupCalls)
        callsEnd = calls.map { warmupCalls + $0 } ?? .max
        timeEnd = length.map { warmup + $0 } ?? .max
    }

    private static func pieces(of shape: Shape, warmup: Interval) -> (pieces: [Piece], warmupCalls: Int) {
        var pieces: [Piece] = []
        var at = Piece(seconds: 0, calls: 0, rate: firstRate(shape), slope: 0)
        func goOn(_ length: Interval, from rate: Double, to next: Double) {
            let seconds = length.inSeconds
            guard seconds > 0 else { return }
            (at.rate, at.slope) = (rate, (next - rate) / seconds)
            pieces.append(at)
            (at.seconds, at.calls) = (at.seconds + seconds, at.calls + (rate + next) / 2 * seconds)
        }
        goOn(warmup, from: at.rate, to: at.rate)
        // What is due at the very end of the warm-up is counted.
        let warmupCalls = Int((at.calls - 1e-6).rounded(.up).clamped(to: 0...1e15))
        if warmup > .zero { at.calls = Double(warmupCalls) }
        switch shape {
        case .constant: break
        case .ramp(let from, let to, let over):
            goOn(over, from: from, to: to)
            at.rate = to
        case .steps(let rates, let each):
            for rate in rates {
                goOn(each, from: rate, to: rate)
                at.rate = rate
            }
        }
        at.slope = 0
        return (pieces + [at], warmupCalls)
    }

    /// Since the warm-up's beginning; nil of a call that the run does not have.
    package func start(of number: Int) -> Interval? {
        guard number >= 0, number < callsEnd else { return nil }
        let target = Double(number)
        var (low, high) = (0, pieces.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].calls <= target { low = middle } else { high = middle }
        }
        let piece = pieces[low]
        let more = target - piece.calls
        var seconds = piece.seconds
        if more > 0 {
            // The larger root, in the form that does not divide by a slope of zero.
            let divisor = piece.rate + max(0, piece.rate * piece.rate + 2 * piece.slope * more).squareRoot()
            guard divisor > 0 else { return nil }
            seconds += 2 * more / divisor
        }
        guard seconds < Double(Int64.max) / 2e9 else { return nil }
        let start = Interval(nanoseconds: Int64((seconds * 1e9).rounded()))
        return start < timeEnd ? start : nil
    }

    /// Calls a second that are meant at a moment since the warm-up's beginning.
    package func rate(at moment: Interval) -> Double {
        let seconds = moment.inSeconds
        guard let piece = pieces.last(where: { $0.seconds <= seconds }) else { return Self.firstRate(shape) }
        return max(0, piece.rate + piece.slope * (seconds - piece.seconds))
    }

    /// How long the counted part is meant to take; nil where nothing ends it.
    package var length: Interval? {
        if timeEnd != .max, callsEnd == .max { return timeEnd - warmup }
        guard callsEnd != .max, callsEnd > warmupCalls else { return nil }
        // Until the call after the last would be due.
        let open = LoadSchedule(shape, warmup: warmup)
        let end = open.start(of: callsEnd) ?? open.start(of: callsEnd - 1) ?? timeEnd
        return min(end, timeEnd) - warmup
    }

    /// Whether a length of its own comes with the shape, and which: a ramp's, or all steps'.
    package static func ownLength(_ shape: Shape) -> Interval? {
        switch shape {
        case .constant: nil
        case .ramp(_, _, let over): over
        case .steps(let rates, let each): each * Int64(rates.count)
        }
    }

    package static func firstRate(_ shape: Shape) -> Double {
        switch shape {
        case .constant(let rate): rate
        case .ramp(let from, _, _): from
        case .steps(let rates, _): rates.first ?? 0
        }
    }
}

extension Double {
    /// Also of what is no number.
    func clamped(to range: ClosedRange<Double>) -> Double { self >= range.lowerBound ? Swift.min(self, range.upperBound) : range.lowerBound }
}
