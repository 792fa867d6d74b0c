import Foundation
import MastProcesses
import Testing

@Suite struct ChildProcessTests {
    private func shell(_ script: String, change: (inout ChildProcess.Start) -> Void = { _ in }) throws -> ChildProcess {
        var start = ChildProcess.Start("/bin/sh", ["-c", script])
        start.output = .pipe
        change(&start)
        return try ChildProcess(start)
    }

    @Test func itsEndIsToldToAllWhoWait() async throws {
        let child = try shell("read line; exit 7") { $0.input = .pipe }
        #expect(child.ending == nil)
        #expect(await child.ending(within: .milliseconds(1)) == nil)
        async let first = child.ending(within: .seconds(60))
        async let second = child.ending(within: .seconds(60))
        child.input?.close()
        #expect(await [first, second] == [.exited(7), .exited(7)])
        #expect(child.ending == .exited(7) && child.waitUntilEnd(within: .zero) == .exited(7))
        // Its number may be another's by now.
        child.send(SIGKILL)
    }

    @Test func aSignalsNumberIsTheEnding() async throws {
        #expect(await (try shell("kill -TERM $$")).ending(within: .seconds(60)) == .killed(signal: SIGTERM))
    }

    @Test func itHasThreeDescriptorsWhateverIsOpenHere() async throws {
        // As others leave them: not closed in programs that are started.
        let open = (0..<20).map { _ in dup(0) }
        defer { open.forEach { close($0) } }
        let child = try shell("ls /proc/self/fd | wc -l")
        // ls holds the folder open, too.
        #expect(await child.output?.line(within: .seconds(60)).map { $0.trimmingCharacters(in: .whitespaces) } == "4")
    }

    @Test func noSignalIsBlockedOrIgnoredInIt() async throws {
        // A thread of this test's own, since a mask is a thread's.
        let text = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String?, any Error>) in
            Thread.detachNewThread {
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_BLOCK, &all, nil)
                continuation.resume(with: Result { try shell("grep SigBlk /proc/self/status").output?.nextLine(within: .seconds(60)) })
            }
        }
        #expect(text?.hasSuffix("0000000000000000") == true)
    }

    @Test func itOutlivesNeitherItsValueNorItsReader() async throws {
        var child: ChildProcess? = try shell("echo here; read line; echo there; exec sleep 600") { $0.input = .pipe }
        var output = child?.output
        #expect(await output?.line(within: .seconds(60)) == "here")
        let number = try #require(child?.processID)
        // Whoever reads holds it still; the end of its input is that of our value.
        child = nil
        #expect(await output?.line(within: .seconds(60)) == "there")
        output = nil
        // The shell's number is given back only after its status was taken.
        while kill(number, 0) == 0 { await Task.yield() }
    }

    @Test func whatCannotBeStartedSaysWhy() throws {
        let thrown = #expect(throws: SpawnFailure.self) { try ChildProcess(.init("/no/such/program")) }
        #expect(thrown?.description == "cannot start /no/such/program: No such file or directory")
        #expect(throws: SpawnFailure.self) { try shell("true") { $0.input = .file("/no/such/file") } }
        #expect(throws: SpawnFailure.self) { try shell("true") { $0.directory = "/no/such/folder" } }
    }

    /// Neither here nor in a sibling: a stream ends when the child's own end closes.
    @Test func nobodyElseHoldsItsEnds() async throws {
        let child = try shell("read line; exec >&-; exec sleep 600") { ($0.input, $0.errors) = (.pipe, .nothing) }
        let siblings = try (0..<20).map { _ in try shell("exec sleep 600") { $0.errors = .nothing } }
        child.input?.close()
        #expect(await child.output?.rest(within: .seconds(60)) == [])
        #expect(([child] + siblings).allSatisfy { $0.ending == nil })
    }
}
