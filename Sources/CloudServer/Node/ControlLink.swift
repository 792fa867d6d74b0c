import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What a node tells the communication server, and what it does with the answers.
protocol ControlledNode: Actor {
    func registration() async throws -> RegisterRequest
    func heartbeat() async throws -> HeartbeatRequest
    /// The communication server accepted the node; `numbers` is the newest state it knows.
    func registered(_ reply: RegisterReply) async
    /// The communication server has what the last heartbeat said.
    func accepted(_ reply: HeartbeatReply) async
}

/// Keeps a node registered: dials the communication server, registers, sends heartbeats, and begins again whenever
/// that breaks. The node calls, never the server: a node may stand behind a NAT.
struct ControlLink: Sendable {
    let host: RPCHost
    let contact: ServerContact
    let log: Logger

    private static let firstBackoff = Interval.milliseconds(200)
    private static let longestBackoff = Interval.seconds(3)
    private static let longestLook = Interval.seconds(30)

    /// Until cancelled.
    func run(_ node: some ControlledNode) async throws {
        var backoff = Self.firstBackoff
        var lastComplaint = ""
        var isTwice = false
        while true {
            try Task.checkCancellation()
            let client = contact.client
            do {
                let reply = try await client.call(
                    ControlMethods.register, await node.registration(), options: options(within: .seconds(5)))
                let forwarder = client.address.map { [$0] } ?? []
                host.forwarding.join(reply.route, through: forwarder)
                log.info("registered", metadata: ["route": "\(reply.route)", "seenAt": "\(reply.observedAddress)"])
                lastComplaint = ""
                backoff = Self.firstBackoff
                if reply.runsTwice == true, !isTwice {
                    log.error("another process registers with this node's keys, from a copy of its folder: stop one of them, or let one join anew")
                }
                isTwice = reply.runsTwice ?? false
                await node.registered(reply)
                try await beat(node, client, every: .milliseconds(min(max(reply.heartbeatMilliseconds, 20), 60_000)))
                contact.move()
                log.notice("following the communication server", metadata: ["to": "\(contact.choice.dialled.address)"])
                continue
            } catch let error as RPCError {
                try Task.checkCancellation()
                let complaint = "\(error.code) \(error.message)"
                // Once per cause: a server that is down for a night is one line, not a hundred thousand.
                if complaint != lastComplaint {
                    log.warning("not registered", metadata: ["reason": "\(complaint)"])
                    lastComplaint = complaint
                }
                // Silence may mean that this connection is dead although nobody said so.
                if error.code == .deadlineExceeded { client.close(reason: "the communication server does not answer") }
                if error.code == .deadlineExceeded || error.cause == .unreachable { contact.tryNext() }
            }
            try await host.sleep(for: backoff)
            backoff = min(backoff * 2, Self.longestBackoff)
        }
    }

    /// Returns when a better server than this one answers; throws when a heartbeat finds the server gone or the node unknown
    /// there.
    private func beat(_ node: some ControlledNode, _ client: RPCClient, every interval: Interval) async throws {
        var missed = 0
        // A server that is not up yet is not asked with every heartbeat.
        var (pause, nextLook) = (interval, Instant.zero)
        while true {
            try await host.sleep(for: interval)
            do {
                let reply = try await client.call(
                    ControlMethods.heartbeat, await node.heartbeat(), options: options(within: max(interval, .milliseconds(500))))
                missed = 0
                await node.accepted(reply)
                guard contact.choice.better != nil, host.now() >= nextLook else { continue }
                // Shorter than what makes this node count as down here.
                if await contact.reachBetter(within: interval * 2) { return }
                try Task.checkCancellation()
                pause = min(pause * 2, Self.longestLook)
                nextLook = host.now() + pause
            } catch let error as RPCError where error.code == .deadlineExceeded && missed < 2 {
                // A radio outage: the connection survives it, so give it some time. By then the node counts as down anyway.
                missed += 1
            }
        }
    }

    private func options(within: Interval) -> CallOptions {
        var options = CallOptions()
        options.deadline = .in(within)
        return options
    }
}
