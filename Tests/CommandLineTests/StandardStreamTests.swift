import Foundation
import MastProcesses
import Testing

/// The three descriptors that a command is started with are input too.
@Suite struct StandardStreamTests {
    private func shell(_ program: Program, _ script: String) async throws -> Program.Result {
        try await program.run(["-c", script, "sh", Program.executable], executable: "/bin/sh", in: program.folder)
    }

    @Test(arguments: ["version", "version --json", "pool stat", "app samples", "doctor --json", "link profiles"])
    func `what standard output does not take is no success`(_ command: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await shell(program, "\"$1\" \(command) > /dev/full")
        #expect(result.status == 69, "\(result.errors)")
        #expect(result.errors.contains("cannot write to standard output: No space left on device"))
        #expect(result.errorLines.count == 1)
    }

    @Test func `a reader that has seen enough ends a command without a word`() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await shell(program, "trap '' PIPE; { \"$1\" app samples; echo $? > status; } | true; sleep 0.2; cat status")
        #expect(["0", "141"].contains(result.output.trimmingCharacters(in: .whitespacesAndNewlines)) && result.errors.isEmpty)
    }

    @Test func `a descriptor that was closed is nobody else's file`() async throws {
        let program = try Program()
        defer { program.remove() }
        // Without the guard the copy would get number 1 or 2, and what is printed would be in it.
        let result = try await shell(program, "\"$1\" app samples --out samples <&- >&- 2>&-; echo $?; \"$1\" app samples --out again > /dev/null; cmp samples/textsearch.wasm again/textsearch.wasm && echo same")
        // What it would have printed is lost, and that is said by its exit code.
        #expect(result.output.split(separator: "\n") == ["69", "same"])
    }
}
