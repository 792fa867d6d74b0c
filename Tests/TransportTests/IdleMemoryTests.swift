import CAllocations
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What a server holds for connections that do nothing.
@Suite struct IdleMemoryTests {
    private static var isCounted: Bool { allocations_are_counted() != 0 }

    /// A crowd whose guests have all made a call and are silent since.
    private func crowd(of count: UInt32, configuration: TransportConfiguration = .init()) throws -> Crowd {
        var configuration = configuration
        (configuration.halfOpenBeforeCookies, configuration.handshakesPerSecond) = (1_024, 1_000_000)
        let crowd = Crowd(configuration)
        for number in 1...count {
            let guest = crowd.guest(Crowd.address(number))
            let handle = crowd.dial(guest)
            crowd.settle()
            let opened = guest.endpoint.openStream(handle, deadline: nil, at: crowd.now)
            let stream = try #require(opened)
            _ = guest.endpoint.write(handle, stream, Array(repeating: 1, count: 64)[...], fin: true, at: crowd.now)
            crowd.settle()
            for case .streamOpened(let accepted, let opened, _) in crowd.serverEvents {
                var bytes: [UInt8] = []
                _ = crowd.server.read(accepted, opened, into: &bytes, at: crowd.now)
                _ = crowd.server.write(accepted, opened, bytes[...], fin: true, at: crowd.now)
            }
            crowd.serverEvents = []
            crowd.settle()
            var answer: [UInt8] = []
            _ = guest.endpoint.read(handle, stream, into: &answer, at: crowd.now)
            #expect(answer.count == 64)
            crowd.run(for: .milliseconds(2))
        }
        crowd.run(for: .seconds(3))
        return crowd
    }

    /// What goes with the server.
    private func bytes(of crowd: Crowd) -> Int64 {
        var keys = SeededGenerator(seed: 9)
        let empty = Endpoint(identity: StaticKeyPair(using: &keys), configuration: .init(), entropy: SeededGenerator(seed: 9))
        let before = allocated_here()
        crowd.server = empty
        return before - allocated_here()
    }

    /// Sizes at which tables that double are as full as they get.
    @Test("An idle connection takes no more than it did", .enabled(if: isCounted))
    func idleConnections() throws {
        let (few, many) = (try crowd(of: 96), try crowd(of: 384))
        let each = (bytes(of: many) - bytes(of: few)) / (384 - 96)
        #expect(each <= 5_000)
        #expect(each >= 1_000, "a count that sees nothing would allow anything")
    }
}
