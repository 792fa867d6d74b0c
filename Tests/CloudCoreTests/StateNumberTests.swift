import MastCloudCore
import MastRPC
import MastTimebase
import Testing

@Suite struct `Numbers of state` {
    @Test func `The later epoch is the newer one, and within an epoch the higher count`() {
        let order = [StateNumber(epoch: 0, count: 9), StateNumber(epoch: 1, count: 1), StateNumber(epoch: 1, count: 2), StateNumber(epoch: 2, count: 0)]
        for (low, first) in order.enumerated() {
            for (high, second) in order.enumerated() { #expect((first < second) == (low < high), "\(first) < \(second)") }
        }
    }

    @Test func `A written number counts in the first epoch, and nothing is before zero`() {
        #expect((0 as StateNumber) == StateNumber(epoch: 0, count: 0) && (5 as StateNumber) == StateNumber(epoch: 1, count: 5))
        #expect(StateNumber(epoch: 1, count: 5).description == "5" && StateNumber(epoch: 2, count: 5).description == "5 of epoch 2")
        #expect((0 as StateNumber).description == "0")
        #expect((5 as StateNumber).next(in: 1) == 6 && (5 as StateNumber).next(in: 3) == StateNumber(epoch: 3, count: 6))
        #expect(StateNumber.firstEpoch == 1 && StateNumber.latestEpoch == 4_611_686_018_427_387_904)
    }

    /// One number newer at a time: which of both questions it answers.
    @Test func `Who knows something newer is ahead, whatever it is`() {
        let none = StateNumbers(releases: 2, users: 2, revocations: 2, servers: 2)
        let rows: [(change: (inout StateNumbers) -> Void, isRecord: Bool)] = [
            ({ $0.releases = 3 }, true), ({ $0.users = 3 }, true), ({ $0.revocations = 3 }, false), ({ $0.servers = 3 }, false),
        ]
        #expect(!none.isBehind(none) && !none.lacksRecords(of: none))
        for row in rows {
            var newer = none
            row.change(&newer)
            #expect(none.isBehind(newer) && !newer.isBehind(none))
            #expect(none.lacksRecords(of: newer) == row.isRecord && !newer.lacksRecords(of: none))
            #expect(none.joined(newer) == newer && newer.joined(none) == newer)
        }
        #expect(none.text == "releases 2, users 2, revocations 2")
    }

    @Test func `A list covers another if it refuses all that the other refuses`() {
        func log(_ serials: [UInt64], _ nodes: [String]) -> RevocationLog { RevocationLog(number: 1, serials: serials, nodes: nodes.map(NodeID.init(rawValue:))) }
        let list = log([1, 2], ["a", "b"])
        #expect(list.covers(list) && list.covers(log([2], ["a"])) && list.covers(.empty))
        #expect(!list.covers(log([3], [])) && !list.covers(log([], ["c"])) && !RevocationLog.empty.covers(log([1], [])))
    }
}

@Suite struct `What operators are told` {
    private let cast = Cast()

    @Test func `What a node says of itself is cut to its bounds`() {
        let long = NodeHealth(version: String(repeating: "v", count: 33), diskFreeBytes: 5, troubles: Array(repeating: String(repeating: "t", count: 201), count: 9))
        let cut = NodeHealth(version: String(repeating: "v", count: 32), diskFreeBytes: 5, troubles: Array(repeating: String(repeating: "t", count: 200), count: 8))
        #expect(long.bounded == cut && cut.bounded == cut)
        // A character of several bytes is not left out for being cut; its whole ones stay as they are.
        let whole = NodeHealth(version: String(repeating: "ä", count: 16))
        #expect(whole.bounded == whole)
    }

    @Test func `Of each name's versions the newest is said to be so`() {
        let index = ReleaseIndex(number: 1, applications: [
            cast.application("a", sequence: 1, content: "1"), cast.application("b", sequence: 4, content: "2"), cast.application("a", sequence: 2, content: "3"),
        ])
        #expect(index.statuses.map { "\($0.name) \($0.version) \($0.isNewest)" } == ["a 2 true", "a 1 false", "b 4 true"])
        let first = ContentDigest(of: Array("1".utf8))
        #expect(index.application(digest: first)?.version == "1" && index.application(digest: ContentDigest(of: [9])) == nil)
    }

    @Test func `A module is neither empty nor larger than 4 MiB`() {
        for (count, isTaken) in [(0, false), (1, true), (4_194_304, true), (4_194_305, false)] {
            #expect((ApplicationPackage.refusal(ofBytes: count) == nil) == isTaken, "\(count) bytes")
        }
        #expect(ApplicationPackage.refusal(ofBytes: 0) == "the module is empty")
        #expect(ApplicationLimits.standard == ApplicationLimits(fuel: 5_000_000_000, memoryBytes: 67_108_864, outputBytes: 4_194_304))
        #expect(ApplicationLimits.most == ApplicationLimits(fuel: .max, memoryBytes: 268_435_456, outputBytes: 16_777_216))
        // An output of 16 MiB fits into a message.
        #expect(HostConfiguration.cloud.envelope.messageBytes == 17_825_792)
    }

    private func status(releases: StateNumber, revocations: StateNumber, _ nodes: [(name: String, isUp: Bool, numbers: StateNumbers)]) -> CloudStatus {
        CloudStatus(
            nodes: nodes.map { node in
                CloudStatus.Node(
                    nodeID: NodeID(rawValue: node.name), name: "the \(node.name)", role: .station, isUp: node.isUp, address: "", route: 1, load: NodeLoad(),
                    replicas: [], heartbeatAgeMilliseconds: 0, roundTripMicroseconds: nil, health: NodeHealth(), runsTwice: false, sharesName: false,
                    isBehind: false, clockOffset: nil, numbers: node.numbers)
            },
            applications: [], releaseNumber: releases, revocationNumber: revocations, troubles: [], clockOffset: nil, attachedClients: 0,
            cachedApplications: 0, cachedBytes: 0)
    }

    @Test func `A change is settled when the communication server and all stations that are up have it`() {
        let wanted = StateNumbers(releases: 3, users: 1, revocations: 2)
        let older = StateNumbers(releases: 2, users: 1, revocations: 2)
        let effect = ChangeEffect(numbers: wanted, stations: ["a", "b", "c", "d"].map(NodeID.init(rawValue:)))
        let nodes = [("a", true, wanted), ("b", true, older), ("c", false, older), ("other", true, older)]
        let part = ChangeConfirmation(effect, status(releases: 3, revocations: 2, nodes))
        #expect(part.confirmed.map(\.rawValue) == ["a"] && part.pending.map(\.rawValue) == ["b"] && part.absent.map(\.rawValue) == ["c", "d"])
        #expect(part.names == [NodeID(rawValue: "a"): "the a", NodeID(rawValue: "b"): "the b", NodeID(rawValue: "c"): "the c"])
        #expect(part.communicationServer && !part.isSettled)

        for (releases, revocations, isThere) in [(3, 2, true), (4, 3, true), (2, 2, false), (3, 1, false)] as [(StateNumber, StateNumber, Bool)] {
            let all = ChangeConfirmation(effect, status(releases: releases, revocations: revocations, [("a", true, wanted)]))
            #expect(all.communicationServer == isThere && all.isSettled == isThere)
        }
        let silent = ChangeConfirmation(effect, nil)
        #expect(!silent.communicationServer && !silent.isSettled && silent.absent == effect.stations && silent.names.isEmpty)
    }
}
