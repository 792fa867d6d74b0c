import Foundation
import MastCalls
import MastDatagrams
import MastLoadGenerator
import Synchronization

/// What all lanes of a run share.
final class BenchRun: Sendable {
    let plan: BenchPlan
    let clock = SystemClock()
    let collector: Lock<LoadCollector>
    let inFlight = Atomic<Int>(0)
    /// Calls of a closed loop that were begun, or are about to be; and of these, after the warm-up.
    let begun = Atomic<Int>(0), counted = Atomic<Int>(0)
    private let state = Lock(State())

    private struct State {
        /// The warm-up's beginning.
        var origin: Instant?
        var leftWaiting = 0
        var figures: [Int: ConnectionFigures] = [:]
    }

    init(_ plan: BenchPlan) {
        self.plan = plan
        collector = Lock(LoadCollector(slices: plan.slices, window: plan.window, countsFailures: plan.countsFailures, keepsRecords: plan.keepsRecords))
    }

    /// Counts from the end of the warm-up.
    var counting: Instant? { state.withLock { $0.origin }.map { $0 + plan.schedule.warmup } }
    var leftWaiting: Int { state.withLock { $0.leftWaiting } }
    /// In the order of the lanes, as last seen.
    var figures: [ConnectionFigures] { state.withLock { state in state.figures.sorted { $0.key < $1.key }.map(\.value) } }

    func begin(at origin: Instant) { state.withLock { $0.origin = origin } }
    func leave(_ count: Int) { state.withLock { $0.leftWaiting += count } }
    func note(_ statistics: ConnectionStatistics?, of lane: Int) {
        guard let statistics else { return }
        state.withLock { $0.figures[lane] = ConnectionFigures(statistics) }
    }
}

/// The calls of a run that one connection carries. On the thread of its socket, where a call is sent and its answer taken
/// without a change of threads; its pace is kept there too, so what keeps that thread busy is seen as lateness.
struct BenchLane: Sendable {
    /// Calls that are due within it begin together: less than the system's timers are punctual.
    private static let shortestPause = Interval.microseconds(20)
    /// How often the connection's figures are looked at: of one that breaks, the last ones stay.
    private static let lookEvery = Interval.seconds(1)

    /// Who waits, and whether this thread had time left over lately.
    private final class Line: Sendable {
        let gate: Lock<CallGate>
        let isBusy = Atomic(false)
        init(_ gate: CallGate) { self.gate = Lock(gate) }
    }

    let run: BenchRun
    let number: Int
    let client: RPCClient
    /// When the warm-up begins, and when counting does.
    private let origin, counting: Instant
    private var plan: BenchPlan { run.plan }

    init(_ run: BenchRun, _ number: Int, _ client: RPCClient, from origin: Instant) {
        (self.run, self.number, self.client, self.origin) = (run, number, client, origin)
        counting = origin + run.plan.schedule.warmup
    }

    func work() async {
        ThreadTimers.bePunctual()
        if plan.isClosed { await closedLoop() } else { await openLoop() }
        run.note(client.connectionStatistics, of: number)
    }

    // MARK: open loop

    private func openLoop() async {
        let run = run
        let line = Line(
            CallGate(
                plan.schedule, origin: origin, first: number, stride: plan.connections, places: plan.places(of: number), patience: plan.deadline))
        await withDiscardingTaskGroup { group in
            let account = ThreadAccount()
            var gauge = BusyGauge(at: run.clock.now(), spent: account.spent)
            var look = origin
            while !Task.isCancelled, let due = line.gate.withLock({ $0.nextDue }) {
                // Also what is due already lets others have the thread.
                do { try await client.host.sleep(for: max(due - run.clock.now(), Self.shortestPause)) } catch { break }
                let now = run.clock.now()
                if gauge.isDue(at: now) {
                    gauge.note(spent: account.spent, at: now)
                    line.isBusy.store(gauge.isBusy, ordering: .relaxed)
                }
                if now >= look {
                    run.note(client.connectionStatistics, of: number)
                    look = now + Self.lookEvery
                }
                line.gate.withLock { $0.notice(at: now) }
                while let departure = next(line) {
                    group.addTask { await serve(departure, line) }
                }
            }
        }
        run.leave(line.gate.withLock { $0.stop() })
    }

    /// The call, and those that wait for its place.
    private func serve(_ first: CallGate.Departure, _ line: Line) async {
        var departure = first
        while true {
            let sent = run.clock.now()
            let isBusy = line.isBusy.load(ordering: .relaxed)
            var result = await call(departure.number, intended: departure.intended, sent: sent)
            result.delay = SendDelay(departure, sent: sent, bound: plan.lateBound, isBusy: isBusy)
            result.ownDelay = SendDelay.own(departure, sent: sent)
            run.collector.withLock { $0.add(result) }
            line.gate.withLock { $0.release() }
            guard let another = next(line) else { return }
            departure = another
        }
    }

    /// The next call to send; those before it that nobody could send in time are written off.
    private func next(_ line: Line) -> CallGate.Departure? {
        while !Task.isCancelled {
            let now = run.clock.now()
            switch line.gate.withLock({ $0.next(at: now) }) {
            case .send(let departure): return departure
            case .giveUp(let departure):
                let intended = moment(departure.intended)
                var result = CallResult(number: departure.number, intended: intended, sent: moment(now), done: moment(now), ending: .notSent)
                result.delay = SendDelay(departure, sent: now, bound: plan.lateBound, isBusy: line.isBusy.load(ordering: .relaxed))
                result.ownDelay = SendDelay.own(departure, sent: now)
                run.collector.withLock { $0.add(result) }
            case nil: return nil
            }
        }
        return nil
    }

    // MARK: closed loop

    private func closedLoop() async {
        let (run, plan) = (run, plan)
        let end = plan.length.map { counting + $0 } ?? .distantFuture
        // Together with the others; and what is called before is called all the same.
        do { try await client.host.sleep(for: max(origin - run.clock.now(), Self.shortestPause)) } catch { return }
        await withDiscardingTaskGroup { group in
            for _ in 0..<plan.places(of: number) {
                group.addTask {
                    while !Task.isCancelled {
                        let sent = run.clock.now()
                        guard sent < end else { return }
                        if sent >= counting, let calls = plan.calls, run.counted.add(1, ordering: .relaxed).oldValue >= calls { return }
                        let number = run.begun.add(1, ordering: .relaxed).oldValue
                        let result = await call(number, intended: sent, sent: sent)
                        run.collector.withLock { $0.add(result) }
                    }
                }
            }
        }
    }

    // MARK: one call

    private func moment(_ instant: Instant) -> Interval { instant - counting }

    private func call(_ number: Int, intended: Instant, sent: Instant) async -> CallResult {
        run.inFlight.add(1, ordering: .relaxed)
        defer { run.inFlight.subtract(1, ordering: .relaxed) }
        var options = CallOptions(deadline: .in(max(intended + plan.deadline - sent, .zero)), maxAttempts: plan.attempts, semantics: plan.override)
        options.metadata = plan.metadata
        var first: Instant?
        var messages = 0
        var ending = CallResult.Ending.ok
        do {
            try await client.callJSON(
                plan.method, kind: plan.kind, semantics: plan.semantics, requests: plan.template.requests(of: number).map { ByteString($0) }, options: options
            ) { _ in
                if first == nil { first = run.clock.now() }
                messages += 1
            }
        } catch let error as RPCError {
            let isOurs = error.cause == .cancelled && Task.isCancelled
            ending = isOurs ? .interrupted : .failed(CallStatus(error.code), CallEffect(error.effect), message: error.message)
        } catch {
            ending = .failed(CallStatus(.internal), .unknown, message: "\(error)")
        }
        var result = CallResult(number: number, intended: moment(intended), sent: moment(sent), done: moment(run.clock.now()), ending: ending)
        (result.firstMessage, result.messages) = (first.map(moment), messages)
        return result
    }
}

/// What the system says of the thread that made it.
private final class ThreadAccount {
    /// Of the thread that opens it, whoever reads.
    private let descriptor = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Its time on a processor and, on Linux, its time in wait for one.
    var spent: Interval {
        var text = [UInt8](repeating: 0, count: 64)
        let count = descriptor < 0 ? 0 : pread(descriptor, &text, text.count, 0)
        let numbers = text[..<max(0, count)].split(separator: UInt8(ascii: " ")).compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
        if numbers.count >= 2 { return Interval(nanoseconds: numbers[0] &+ numbers[1]) }
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Interval(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
}
