import CAllocations
import MastRPC
import MastTimebase
import Testing

/// What a call may allocate: both ends and the simulated wire between them, in memory alone. More is a mistake or a decision;
/// whoever decides so changes `limits`. (The simulated wire and clock have most of it; `bench/counts` has a call's own.)
struct AllocationTests {
    /// Allocations of one call after another, at most.
    private static let limits = (optimised: 380.0, debug: 780.0)

    private static var isCounted: Bool { allocations_are_counted() != 0 }

    private static var limit: Double {
        #if DEBUG
            limits.debug
        #else
            limits.optimised
        #endif
    }

    @Test("A call allocates no more than it did", .enabled(if: isCounted))
    func calls() throws {
        let perCall = try World().pair(Echo.server()) { client, _, _ in
            let line = Line(text: "sixty-four bytes or so, like most of the calls that are made", number: 1)
            // Tables grow, and handlers' tasks begin.
            for _ in 0..<300 { _ = try await client.call(Echo.add, line) }
            let before = allocations_here()
            for _ in 0..<500 { _ = try await client.call(Echo.add, line) }
            return Double(allocations_here() - before) / 500
        }
        #expect(perCall <= Self.limit)
        // A count that sees nothing would allow anything.
        #expect(perCall >= 8)
    }
}
