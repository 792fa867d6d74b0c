import Foundation
import MastDatagrams
import MastTimebase
import Testing

/// What Linux says of a datagram beside its bytes.
@Suite(.timeLimit(.minutes(20))) struct ArrivalNotesTests {
    private static let marks: [ECNCodepoint] = [.notCapable, .ect1, .ect0, .experienced]
    /// IPv4, IPv6, and IPv4 on a socket of both.
    static let places: [(sender: NetworkAddress, receiver: NetworkAddress, target: NetworkAddress)] = [
        (.loopback(port: 0), .loopback(port: 0), .loopback(port: 0)),
        (NetworkAddress(high: 0, low: 1, port: 0), NetworkAddress(high: 0, low: 1, port: 0), NetworkAddress(high: 0, low: 1, port: 0)),
        (NetworkAddress(high: 0, low: 0, port: 0), NetworkAddress(high: 0, low: 0, port: 0), .loopback(port: 0)),
    ]

    @Test(arguments: places.indices) func theMarkAndTheAgeArrive(index: Int) async throws {
        let place = Self.places[index]
        try await OpenLoop.with(.system, at: place.sender) { sender in
            try await OpenLoop.with(.system, at: place.receiver, .notes) { receiver in
                for mark in Self.marks { try await sender.send([mark.rawValue], to: place.target.with(port: receiver.address.port), mark: mark) }
                let noted = await receiver.peer.noted(Self.marks.count)
                #expect(noted.map(\.bytes) == Self.marks.map { [$0.rawValue] })
                #expect(noted.map(\.notes.mark) == Self.marks)
                #expect(noted.allSatisfy { $0.notes.age.map { $0 >= .zero && $0 <= .seconds(60) } ?? false })
            }
        }
    }

    /// Datagrams of several marks in one batch are not joined into one that has but one.
    @Test func eachOfABatchKeepsItsMark() async throws {
        try await OpenLoop.with(.system) { sender in
            try await OpenLoop.with(.system, .notes) { receiver in
                let marks = (0..<60).map { Self.marks[$0 / 7 % 4] }
                try await sender.send(marks.indices.map { ([UInt8](repeating: UInt8($0), count: 1_200), receiver.address) }, marks: marks)
                let noted = await receiver.peer.noted(marks.count)
                #expect(noted.map { $0.bytes[0] } == (0..<60).map { UInt8($0) })
                #expect(noted.map(\.notes.mark) == marks)
                // Seven came in one piece, with the time of the first.
                #expect(noted.contains { $0.notes.isOfSeveral })
            }
        }
    }

    @Test(arguments: LoopKind.allCases) func whereNobodyAsksThereAreNoNotes(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { sender in
            try await OpenLoop.with(kind) { receiver in
                try await sender.send([1], to: receiver.address, mark: .ect0)
                #expect(await receiver.peer.noted(1).map(\.notes) == [ArrivalNotes()])
            }
        }
    }

    /// More than any datagram holds: one lost datagram, counted and told.
    @Test(arguments: [65_520, 65_536, 200_000]) func aDatagramBeyondAnyIsToldToItsSender(size: Int) async throws {
        try await OpenLoop.with(.system, .whole) { sender in
            let nobody = NetworkAddress.loopback(port: 9)
            try await sender.send([UInt8](repeating: 0, count: size), to: nobody)
            #expect(await sender.peer.failures(1) == [.init(code: EMSGSIZE, destination: nobody)])
            #expect(try await sender.counters().failures == [.init(code: EMSGSIZE, count: 1)])
        }
    }
}
