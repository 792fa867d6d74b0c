import MastCalls

/// The example service: a method of each kind, and one of each semantics.
enum Echo: RPCService {
    struct Say: Codable, Sendable { var text: String }
    struct Said: Codable, Sendable {
        var text: String
        /// The caller as the server sees it.
        var peerAddress: String
        var peerKey: String
    }
    struct Count: Codable, Sendable {
        var from: Int?
        var to: Int
        var pauseMilliseconds: Int64?
        /// Bytes to add to each number: a transfer of any size.
        var paddingBytes: Int?
    }
    struct Counted: Codable, Sendable {
        var value: Int
        var padding: String?
    }
    struct Number: Codable, Sendable { var value: Int }
    struct Sum: Codable, Sendable {
        var numbers: Int
        var total: Int
    }
    struct Line: Codable, Sendable { var text: String }
    struct Reply: Codable, Sendable {
        var number: Int
        var text: String
    }
    struct Wait: Codable, Sendable { var milliseconds: Int64 }
    struct Waited: Codable, Sendable {
        var milliseconds: Int64
        /// What the deadline left when the call arrived: it travels as remaining time.
        var deadlineLeftMilliseconds: Int64?
    }
    struct Ticket: Codable, Sendable {
        var number: UInt64
        /// Above 1 when an earlier attempt of the same call may have got here.
        var attempt: Int
    }

    static let say = Unary<Say, Said>("echo.v1.Echo/say", .readOnly)
    static let count = ServerStream<Count, Counted>("echo.v1.Echo/count", .readOnly)
    static let sum = ClientStream<Number, Sum>("echo.v1.Echo/sum", .idempotent)
    static let chat = BidiStream<Line, Reply>("echo.v1.Echo/chat", .readOnly)
    static let wait = Unary<Wait, Waited>("echo.v1.Echo/wait", .readOnly)
    /// Each call draws the next number, once, however often it is sent.
    static let draw = Unary<Nothing, Ticket>("echo.v1.Echo/draw", .atMostOnce)

    private static let longestCount = 1_000_000
    private static let longestPadding = 65_536

    static func server(_ host: RPCHost) -> RPCServer {
        let drawn = TicketRoll()
        return RPCServer {
            say.handle { request, context in
                Said(text: request.text, peerAddress: context.peerAddress.description, peerKey: context.peerKey.description)
            }
            count.handle { request, writer in
                let from = request.from ?? 1
                let (length, overflow) = request.to.subtractingReportingOverflow(from)
                guard !overflow, length < longestCount else {
                    throw RPCError(.outOfRange, "at most \(longestCount) numbers; choose a smaller range", effect: .none)
                }
                guard length >= 0 else { return }
                let pause = Interval.milliseconds(min(max(request.pauseMilliseconds ?? 0, 0), 60_000))
                let padding = request.paddingBytes.map { String(repeating: "x", count: min(max($0, 0), longestPadding)) }
                for value in from...request.to {
                    if pause > .zero, value > from { try await host.sleep(for: pause) }
                    try await writer.send(Counted(value: value, padding: padding))
                }
            }
            sum.handle { requests in
                var sum = Sum(numbers: 0, total: 0)
                for try await number in requests {
                    let (total, overflow) = sum.total.addingReportingOverflow(number.value)
                    guard !overflow else { throw RPCError(.outOfRange, "the sum is beyond 64 bits", effect: .none) }
                    sum = Sum(numbers: sum.numbers + 1, total: total)
                }
                return sum
            }
            chat.handle { requests, writer in
                var number = 0
                for try await line in requests {
                    number += 1
                    try await writer.send(Reply(number: number, text: line.text))
                }
            }
            wait.handle { request, context in
                let left = context.deadline.map { ($0 - host.now()).milliseconds }
                try await host.sleep(for: .milliseconds(min(max(request.milliseconds, 0), 3_600_000)))
                return Waited(milliseconds: request.milliseconds, deadlineLeftMilliseconds: left)
            }
            draw.handle { _, context in Ticket(number: await drawn.next(), attempt: context.attempt) }
        }
    }

    private actor TicketRoll {
        private var last: UInt64 = 0
        func next() -> UInt64 {
            last &+= 1
            return last
        }
    }
}
