import MastTimebase

/// Quantiles of a long run of samples in bounded memory: every sample at first, then every second, every fourth…
package struct SampleSketch: Sendable, Hashable {
    private static let most = 512

    package private(set) var count = 0
    package private(set) var smallest: Int64?
    package private(set) var largest: Int64?
    private var kept: [Int64] = []
    private var stride = 1

    package init() {}

    package mutating func add(_ value: Int64) {
        smallest = min(smallest ?? value, value)
        largest = max(largest ?? value, value)
        if count % stride == 0 {
            if kept.count >= Self.most {
                kept = kept.indices.filter { $0 % 2 == 0 }.map { kept[$0] }
                stride *= 2
            }
            if count % stride == 0 { kept.append(value) }
        }
        count += 1
    }

    package func quantile(_ share: Double) -> Int64? {
        guard !kept.isEmpty else { return nil }
        let sorted = kept.sorted()
        return sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count - 1) * share).rounded())))]
    }
}
