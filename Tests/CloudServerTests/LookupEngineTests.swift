import MastCloudCore
import MastCloudServer
import MastTimebase
import Testing

@Suite struct LookupEngineTests {
    private let engine = LookupEngine(heartbeatInterval: .seconds(1))

    private func station(
        _ name: String, holds: Bool = true, running: Int = 0, age: Int64 = 100, roundTrip: Int64? = 10, isCurrent: Bool = true
    ) -> LookupEngine.View {
        LookupEngine.View(
            nodeID: NodeID(rawValue: name), role: .station, load: NodeLoad(running: running, queued: 0, capacity: 2),
            holdsReplica: holds, heartbeatAge: .milliseconds(age), roundTrip: roundTrip.map { .milliseconds($0) },
            isCurrent: isCurrent)
    }

    private var center: LookupEngine.View {
        LookupEngine.View(
            nodeID: NodeID(rawValue: "0-center"), role: .center, load: NodeLoad(), holdsReplica: true, heartbeatAge: .zero,
            roundTrip: .milliseconds(1))
    }

    private func order(_ views: [LookupEngine.View]) -> [String] { engine.placement(views).map(\.rawValue) }

    @Test func `a station with the replica comes before one without, and the center comes last`() {
        #expect(order([center, station("a", holds: false), station("b")]) == ["b", "a", "0-center"])
    }

    @Test func `the nearer, the idler and the livelier station comes first`() {
        #expect(order([station("a", roundTrip: 30), station("b", roundTrip: 5)]) == ["b", "a"])
        #expect(order([station("a", running: 20), station("b")]) == ["b", "a"])
        #expect(order([station("a", age: 2500), station("b", roundTrip: 90)]) == ["b", "a"])
        #expect(order([station("a", roundTrip: nil), station("b", roundTrip: 10)]) == ["b", "a"])
    }

    @Test func `equals are ordered by name, so that everybody gets the same answer`() {
        #expect(order([station("c"), station("a"), station("b")]) == ["a", "b", "c"])
    }

    @Test func `at most three stations are named`() {
        #expect(order(["d", "b", "a", "c"].map { station($0) } + [center]) == ["a", "b", "c", "0-center"])
        #expect(order([]) == [])
        #expect(order([center]) == ["0-center"])
    }

    @Test func `a busy station far off in load numbers cannot overflow the score`() {
        #expect(order([station("a", running: .max), station("b")]) == ["b", "a"])
    }

    @Test func `who is not fit to say who somebody is comes last, behind the center, and is not left out`() {
        let views = [station("a", isCurrent: false), station("b"), station("c", isCurrent: false), center]
        #expect(engine.verifiers(views).map(\.rawValue) == ["b", "0-center", "a", "c"])
        #expect(engine.placement(views).map(\.rawValue) == ["a", "b", "c", "0-center"])
    }

    @Test func `however many stations there are, the center is among those who are asked`() {
        let crowd = (0..<20).map { station("s\($0)") }
        let asked = engine.verifiers(crowd + [center]).map(\.rawValue)
        #expect(asked.count == 8 && asked.last == "0-center")
    }

    @Test func `for an identity a replica does not matter`() {
        #expect(engine.verifiers([station("a", holds: false, roundTrip: 5), station("b"), center]).map(\.rawValue) == ["a", "b", "0-center"])
    }
}
