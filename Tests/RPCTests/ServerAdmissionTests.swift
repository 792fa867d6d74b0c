import MastRPC
import MastTransport
import Testing

/// Who may run, and who is next.
@Suite struct ServerAdmissionTests {
    private func source(_ number: UInt32) -> TrafficSource { TrafficSource(route: number) }
    private func connection(_ number: UInt64) -> ConnectionHandle { ConnectionHandle(number: number) }

    private func next(_ admission: inout ServerAdmission, where mayStart: (ConnectionHandle, Int) -> Bool = { _, _ in true }) -> UInt64? {
        admission.next { connection, _, running in mayStart(connection, running) }
    }

    /// Starts handlers of one connection until one has to wait.
    private func fill(_ admission: inout ServerAdmission, _ connection: UInt64, of source: UInt32) -> Int {
        var count = 0
        while count < 10_000, admission.begin(self.connection(connection), of: self.source(source)) { count += 1 }
        return count
    }

    @Test(arguments: [(0, 0), (1, 1), (2, 1), (3, 2), (10, 4), (100, 40), (4_096, 1_639)])
    func aloneAConnectionGetsTwoFifths(slots: Int, expected: Int) {
        var admission = ServerAdmission(limits: .init(slots: slots))
        #expect(fill(&admission, 1, of: 1) == expected)
        #expect(admission.running == expected)
    }

    @Test func handlersThatNeverEndLeaveRoomForWhoeverComes() {
        var admission = ServerAdmission(limits: .init())
        let first = fill(&admission, 1, of: 1)
        let second = fill(&admission, 2, of: 1)
        #expect(first > second && second > 100)
        // A third connection of that source, another source, and a third one.
        #expect(fill(&admission, 3, of: 1) > 10)
        #expect(fill(&admission, 4, of: 2) > 500)
        #expect(fill(&admission, 5, of: 3) > 100)
        #expect(admission.running < 4_096)
    }

    @Test func noNumberOfConnectionsGivesOneSourceMoreThanHalf() {
        var admission = ServerAdmission(limits: .init(slots: 1_000))
        for number in 1...200 { _ = fill(&admission, UInt64(number), of: 1) }
        #expect(admission.running <= 500)
        #expect(fill(&admission, 1_000, of: 2) >= 100)
    }

    @Test func turnsGoRoundTheSourcesThenTheirConnectionsInOrderOfArrival() {
        var admission = ServerAdmission(limits: .init(slots: 1_000, perConnection: 1))
        let lines: [(call: UInt64, connection: UInt64, source: UInt32)] = [
            (10, 1, 1), (11, 1, 1), (12, 1, 1), (20, 2, 1), (30, 3, 2), (31, 3, 2),
        ]
        for (number, of) in [(UInt64(1), UInt32(1)), (2, 1), (3, 2)] { #expect(fill(&admission, number, of: of) == 1) }
        for (call, connection, source) in lines { admission.wait(call, on: self.connection(connection), of: self.source(source)) }
        #expect(next(&admission) == nil)
        var order: [UInt64] = []
        for _ in 0..<3 {
            for (number, of) in [(UInt64(1), UInt32(1)), (2, 1), (3, 2)] where admission.running(connection(number), of: source(of)) > 0 {
                admission.finished(connection(number), of: source(of))
            }
            while let call = next(&admission) { order.append(call) }
        }
        #expect(order == [10, 30, 20, 11, 31, 12] || order == [10, 30, 20, 31, 11, 12])
        #expect(admission.waiting == 0)
    }

    @Test func whoComesLaterDoesNotPassThoseOfItsConnectionThatWait() {
        var admission = ServerAdmission(limits: .init(slots: 10, perConnection: 1))
        #expect(fill(&admission, 1, of: 1) == 1)
        admission.wait(7, on: connection(1), of: source(1))
        admission.finished(connection(1), of: source(1))
        let passed = admission.begin(connection(1), of: source(1))
        #expect(!passed)
        #expect(next(&admission) == 7)
    }

    @Test func aCallThatLeavesIsNeverNext() {
        var admission = ServerAdmission(limits: .init(slots: 10, perConnection: 1))
        #expect(fill(&admission, 1, of: 1) == 1)
        for call in UInt64(1)...3 { admission.wait(call, on: connection(1), of: source(1)) }
        admission.leave(2, on: connection(1), of: source(1))
        admission.leave(2, on: connection(1), of: source(1))
        #expect(admission.waiting == 2)
        admission.finished(connection(1), of: source(1))
        #expect(next(&admission) == 1)
        admission.leave(3, on: connection(1), of: source(1))
        admission.finished(connection(1), of: source(1))
        #expect(next(&admission) == nil)
        #expect(admission.waiting == 0 && admission.running == 0)
    }

    @Test func aConnectionThatMayNotStartIsPassedOver() {
        var admission = ServerAdmission(limits: .init(slots: 10, perConnection: 1))
        for number in UInt64(1)...2 { #expect(fill(&admission, number, of: 1) == 1) }
        admission.wait(1, on: connection(1), of: source(1))
        admission.wait(2, on: connection(2), of: source(1))
        for number in UInt64(1)...2 { admission.finished(connection(number), of: source(1)) }
        #expect(next(&admission, where: { connection, _ in connection.number == 2 }) == 2)
        #expect(next(&admission, where: { connection, _ in connection.number == 2 }) == nil)
        #expect(next(&admission, where: { _, running in running == 0 }) == 1)
    }
}

extension ServerAdmission {
    fileprivate mutating func running(_ connection: ConnectionHandle, of source: TrafficSource) -> Int {
        place(connection, of: source).running
    }
    fileprivate mutating func begin(_ connection: ConnectionHandle, of source: TrafficSource) -> Bool {
        begin(place(connection, of: source))
    }
    fileprivate mutating func finished(_ connection: ConnectionHandle, of source: TrafficSource) { finished(place(connection, of: source)) }
}
