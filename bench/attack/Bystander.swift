import MastCalls

/// When the phases of a run begin, on the attacker's clock.
struct Schedule: Sendable {
    enum Phase: String, Sendable, CaseIterable { case calm, attack, after }

    var start, attack, after, end: Instant

    func phase(of instant: Instant) -> Phase { instant < attack ? .calm : instant < after ? .attack : .after }
}

/// Somebody who uses the server and has nothing to do with the attack: a call every 50 ms over one connection, and a
/// stranger's first call every second over a connection of its own. Each has 2 s.
struct Bystander: Sendable {
    let number: Int
    let server: NetworkAddress
    let key: PublicKey
    let target: Attack.Target
    let contact: Attack.FirstContact
    let tally: Tally

    static let callEvery = Interval.milliseconds(50), freshEvery = Interval.seconds(1), patience = Interval.seconds(2)

    /// - Parameter connected: called when the first connection is up; gives the schedule back.
    func run(_ connected: @Sendable () async throws -> Schedule) async throws {
        try await withUDPHost(bind: .bystander(number)) { host in
            let client = host.client(to: server, peerKey: key)
            try await client.connect(within: .seconds(5))
            let schedule = try await connected()
            await withDiscardingTaskGroup { group in
                group.addTask { await freshConnections(schedule) }
                // Not in step with the other bystanders.
                var due = schedule.start + .milliseconds(Int64(number) * 6)
                while due < schedule.end {
                    await Self.sleep(until: due)
                    let planned = due
                    group.addTask { await one(.call, planned, schedule) { try await call(client, within: Self.patience) } }
                    due += Self.callEvery
                }
            }
        }
    }

    private func freshConnections(_ schedule: Schedule) async {
        await withDiscardingTaskGroup { group in
            var due = schedule.start + .milliseconds(Int64(number) * 120)
            while due < schedule.end {
                await Self.sleep(until: due)
                let planned = due
                group.addTask { await one(.fresh, planned, schedule) { try await first() } }
                due += Self.freshEvery
            }
        }
    }

    private func one(_ kind: Tally.Kind, _ planned: Instant, _ schedule: Schedule, _ body: () async throws -> Void) async {
        let began = Attacker.clock.now()
        var failure: String?
        do { try await body() } catch { failure = "\(error)" }
        tally.add(
            Tally.Entry(
                bystander: number, kind: kind, phase: schedule.phase(of: planned), began: began, ended: Attacker.clock.now(), late: began - planned,
                failure: failure))
    }

    private func call(_ client: RPCClient, within limit: Interval) async throws {
        let options = CallOptions(deadline: .in(limit))
        switch target {
        case .echo:
            let said = try await client.call(Echo.say, Echo.Say(text: "bystander \(number)"), options: options)
            guard said.text == "bystander \(number)" else { throw AttackFailure("a wrong answer") }
        case .commserver:
            guard try await client.call(Health.check, Nothing(), options: options).serving else { throw AttackFailure("not serving") }
        }
    }

    /// A first contact, by somebody with a key that the server has never seen.
    private func first() async throws {
        try await withUDPHost(bind: .bystander(number)) { host in
            let end = host.now() + Self.patience
            if contact == .byQuery {
                let told = try await host.peerKey(of: server, within: Self.patience)
                guard told == key else { throw AttackFailure("a wrong key") }
            }
            try await call(host.client(to: server, peerKey: key), within: end - host.now())
        }
    }

    static func sleep(until due: Instant) async {
        let rest = due - Attacker.clock.now()
        if rest > .zero { try? await Task.sleep(for: .nanoseconds(rest.nanoseconds)) }
    }
}
