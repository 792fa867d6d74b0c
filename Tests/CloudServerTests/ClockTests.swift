import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Clocks that are wrong, and years that pass.
@Suite struct ClockTests {
    private let upper = Array("uppr".utf8)

    /// Somebody's clock, by port, and how far it is ahead.
    struct Shift: CustomTestStringConvertible, Sendable {
        var name: String
        var clocks: [UInt16: Interval]
        var testDescription: String { name }
    }

    private static let minute = Interval.seconds(60)
    /// The simulated world begins in 2026.
    private static let to1970 = Interval.seconds(-1_767_225_600)

    static let shifts: [Shift] = [
        Shift(name: "all clocks are right", clocks: [:]),
        Shift(name: "one station of three is 20 minutes behind", clocks: [10: minute * -20]),
        Shift(name: "one station of three is 20 minutes ahead", clocks: [11: minute * 20]),
        Shift(name: "one station of three is in 1970", clocks: [12: to1970]),
        Shift(name: "the center is an hour ahead", clocks: [2: minute * 60]),
        Shift(name: "the center is in 1970", clocks: [2: to1970]),
        Shift(name: "the communication server is an hour behind", clocks: [1: minute * -60]),
        Shift(name: "the communication server is an hour ahead", clocks: [1: minute * 60]),
        Shift(name: "the communication server is in 1970", clocks: [1: to1970]),
        Shift(name: "two of five are wrong, each in its own way", clocks: [1: minute * 60, 10: minute * -20]),
        Shift(name: "the clients are an hour ahead or in 1970", clocks: [100: minute * 60, 101: to1970, 102: minute * -60]),
    ]

    @Test(arguments: shifts) func `a wrong clock locks nobody out`(shift: Shift) throws {
        let cloud = try SmallCloud(stations: 3, clocks: shift.clocks)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            _ = try await operating.push("upper", upper, to: center)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<3 {
                    let (station, _) = try await cloud.station(number)
                    group.addTask { try? await station.run() }
                }
                _ = try await operating.wait { $0.nodes.count { $0.role == .station && !$0.replicas.isEmpty } == 3 }
                // Everybody has heard from everybody.
                try await cloud.sleep(.milliseconds(300))
                let status = try await operating.control.call(ControlMethods.status, Nothing())
                for (port, ahead) in shift.clocks where port < 100 {
                    let seen: Int64? =
                        switch port {
                        case 1: status.clockOffsetMilliseconds
                        case 2: status.nodes.first { $0.role == .center }?.clockOffsetMilliseconds
                        default: status.nodes.first { $0.name == "station-\(port - 10)" }?.clockOffsetMilliseconds
                        }
                    let error = (seen ?? .max).subtractingReportingOverflow(ahead.milliseconds).partialValue
                    #expect(abs(error) < 100, "port \(port) is shown as \(seen.map(String.init) ?? "unknown")")
                }
                #expect(status.nodes.count { abs($0.clockOffsetMilliseconds ?? .max) > 30_000 } == shift.clocks.keys.count { (2..<100).contains($0) })

                let wrong = status.nodes.filter { abs($0.clockOffsetMilliseconds ?? 0) > 30_000 }.map(\.nodeID)
                var runs = 0
                for number in UInt16(0)..<24 {
                    let client = cloud.client(cloud.operatorProfile, port: 100 + number)
                    let attached = try await client.attach()
                    #expect(!wrong.contains(try attached.ticket.unverified().issuerID))
                    #expect(attached.ticketLifeMilliseconds > 14 * 60_000 && attached.ticketLifeMilliseconds <= 15 * 60_000)
                    for candidate in try await client.lookup("upper").candidates {
                        let result = try await client.run("upper", "on time", on: candidate, id: "\(number)-\(candidate.name)")
                        #expect(result.output == ByteString("ON TIME"))
                        runs += 1
                    }
                    // And with the ticket from before, on a new connection.
                    client.control.close(reason: "test")
                    _ = try await client.control.call(ControlMethods.attach, AttachRequest(proof: nil, ticket: attached.ticket))
                    cloud.network.unplug(port: 100 + number)
                }
                #expect(runs == 96)
                group.cancelAll()
            }
        }
    }

    @Test func `where only wrong clocks are left they are asked all the same, and say what is wrong`() throws {
        let cloud = try SmallCloud(stations: 2, clocks: [10: Self.minute * -20, 11: Self.minute * 40])
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            _ = try await operating.push("upper", upper, to: center)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<2 {
                    let (station, _) = try await cloud.station(number)
                    group.addTask { try? await station.run() }
                }
                _ = try await operating.wait { $0.nodes.count { $0.role == .station && !$0.replicas.isEmpty } == 2 }
                cloud.network.unplug(port: 2)
                let status = try await operating.wait { status in
                    status.nodes.count { $0.health.troubles.contains { $0.hasPrefix("this clock is") } } == 2
                        && !status.nodes.contains { $0.role == .center && $0.isUp }
                }
                #expect(status.nodes.filter(\.isUp).count == 2)
                let client = cloud.client(cloud.operatorProfile, port: 51)
                _ = try await client.attach()
                for candidate in try await client.lookup("upper").candidates {
                    #expect(try await client.run("upper", "late", on: candidate, id: candidate.name).output == ByteString("LATE"))
                }
                group.cancelAll()
            }
        }
    }

    @Test func `a station whose clock is ahead joins by a token that its clock thinks expired`() throws {
        let cloud = try SmallCloud(stations: 1, clocks: [10: Self.minute * 60 * 24 * 30])
        try cloud.whileServing { cloud in _ = try await cloud.station(0) }
    }

    @Test func `a year without the center refuses no authorised run`() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        let day = Interval.seconds(86_400)
        try cloud.run(limit: day * 400) { cloud in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await cloud.server.run() }
                try await cloud.startCenter(in: &group)
                let operating = cloud.client(cloud.operatorProfile, port: 50)
                let center = try #require(try await operating.attach().center)
                _ = try await operating.push("upper", upper, to: center)
                let (station, port) = try await cloud.station(0, stores: stores)
                group.addTask { try? await station.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                while await station.numbers.users < 1 { try await cloud.sleep(.milliseconds(10)) }
                // The center is gone for good; the others stop for the night as well.
                for port in [1, 2, 50, port] { cloud.network.unplug(port: port) }
                group.cancelAll()
            }
            var answered = 0
            for number in 1...365 {
                try await cloud.sleep(day)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let server = cloud.restartedServer()
                    group.addTask { try? await server.run() }
                    let (station, port) = try await cloud.station(0, stores: stores)
                    group.addTask { try? await station.run() }
                    let client = cloud.client(cloud.operatorProfile, port: 60)
                    while (try? await client.attach()) == nil { try await cloud.sleep(.milliseconds(50)) }
                    // In the morning, and when the first ticket has long ended.
                    for pause in [Interval.zero, Ticket.lifetime + .seconds(1)] where number % 200 == 1 || pause == .zero {
                        if pause > .zero {
                            try await cloud.sleep(pause)
                            _ = try await client.attach()
                        }
                        let candidate = try #require(try await client.lookup("upper").candidates.first)
                        let result = try await client.run("upper", "day", on: candidate, id: "\(number)-\(pause.milliseconds)")
                        #expect(result.output == ByteString("DAY"), "day \(number)")
                        answered += 1
                    }
                    for port in [port, 60] { cloud.network.unplug(port: port) }
                    group.cancelAll()
                }
            }
            #expect(answered == 365 + 2)
            #expect(cloud.simulation.now.sinceStart > day * 365)
        }
    }
}
