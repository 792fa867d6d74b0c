import Foundation

/// Where a call's answers go: a line each on standard output or in a file, or kept for one object.
final class ResponseSink: Sendable {
    /// They are kept, for an object that holds them all.
    let isJSON: Bool
    private let path: String?
    private let state: Lock<State>

    private struct State {
        var kept: [String] = []
        var descriptor: Int32?
        /// What was there before is gone.
        var isBegun = false

        mutating func begin() -> Int32? {
            guard !isBegun, let descriptor else { return nil }
            isBegun = true
            // What is no file has no length.
            return ftruncate(descriptor, 0) == 0 || errno == EINVAL ? nil : errno
        }
    }

    /// - Parameter path: opened now, so that nothing is called whose answer has no place; emptied with the first answer, or by `finish`.
    init(json: Bool, path: String?) throws(Failure) {
        (isJSON, self.path) = (json, path)
        var state = State()
        if let path {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); choose another place") }
            state.descriptor = descriptor
        }
        self.state = Lock(state)
    }

    var kept: [String] { state.withLock { $0.kept } }

    func put(_ document: String) throws(Failure) {
        if isJSON { return state.withLock { $0.kept.append(document) } }
        guard let path else {
            Output.document(document)
            return
        }
        let trouble: Int32? = state.withLock { state in
            guard let descriptor = state.descriptor else { return EBADF }
            if let trouble = state.begin() { return trouble }
            var rest = Array((Output.printableJSON(document) + "\n").utf8)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { return errno }
                rest = rest.dropFirst(count)
            }
            return nil
        }
        if let trouble { throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(trouble))); what is in it is not complete") }
    }

    /// After the last answer: what was written is there, or it is said that it is not.
    /// - Parameter isWhole: the call came to its end, be it without an answer.
    func finish(isWhole: Bool) throws(Failure) {
        let trouble: Int32? = state.withLock { state in
            guard let descriptor = state.descriptor else { return nil }
            let trouble = isWhole ? state.begin() : nil
            state.descriptor = nil
            return close(descriptor) == 0 ? trouble : errno
        }
        if let trouble, let path { throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(trouble))); what is in it is not complete") }
    }
}
