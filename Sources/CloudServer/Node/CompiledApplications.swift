import MastCloudCore
import MastWasmRuntime

/// How a live node makes modules into applications: of what it compiled before, or by a compiler that its own memory and
/// its own end do not depend on.
package struct CompiledApplications: Sendable {
    package let compiler: any ModuleCompiler
    package let cache: ArtifactCache

    package init(compiler: any ModuleCompiler, cache: ArtifactCache) { (self.compiler, self.cache) = (compiler, cache) }

    /// Blocks its thread for some milliseconds.
    func kept(_ digest: ContentDigest, for engine: any ArtifactEngine) -> (any LoadedApplication)? {
        guard let artifact = cache.artifact(digest, for: engine.fingerprint) else { return nil }
        do throws(EngineError) { return try engine.load(artifact: artifact) } catch {
            cache.discard(digest, isOutdated: error.kind == .artifactMismatch, "\(error)")
            return nil
        }
    }

    /// - Parameter thread: where what blocks is done.
    func load(
        _ module: [UInt8], with engine: any ArtifactEngine,
        on thread: (@escaping @Sendable () throws -> any LoadedApplication) async throws -> any LoadedApplication
    ) async throws -> any LoadedApplication {
        try engine.check(module)
        try ModuleCost(module).check(within: compiler.limits)
        let artifact = try await compiler.compile(module)
        return try await thread { [cache] in
            let application = try engine.load(artifact: artifact)
            cache.keep(artifact, of: ContentDigest(of: module), for: engine.fingerprint)
            return application
        }
    }
}
