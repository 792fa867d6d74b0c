import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC

extension Failure {
    /// What the cloud's own errors mean for a command; nil for errors that are not the cloud's.
    static func cloudFailure(_ error: any Error) -> Failure? {
        switch error {
        case let error as ProfileError:
            switch error {
            case .missing: Failure(.noInput, "\(error)")
            case .storage: Failure(.unavailable, "\(error)")
            case .readableByOthers, .malformed, .changedKey: Failure(.badData, "\(error)")
            }
        case let error as PoolError:
            switch error {
            case .invalidRunID: Failure(.usage, "\(error)")
            case .runIDInUse: Failure(.call(.alreadyExists), "\(error)")
            case .leased, .busy, .storage: Failure(.unavailable, "\(error)")
            case .damaged, .damagedEntry, .contradictsReceipt: Failure(.badData, "\(error)")
            }
        case let error as CenterError:
            switch error {
            case .malformed, .unknown, .exists, .full, .conflict, .superseded, .twice, .lastOperator: Failure(RPCError(center: error))
            case .untrusted(let error): cloudFailure(error)
            case .storage(let error): cloudFailure(error)
            }
        case let error as TrustError: Failure(.badData, "\(error)")
        case let error as StorageError:
            switch error.kind {
            case .missing: Failure(.noInput, "\(error)")
            case .exists, .corrupt: Failure(.badData, "\(error)")
            case .inUse, .inputOutput, .full, .denied: Failure(.unavailable, "\(error)")
            }
        // That nobody was reached is no run's status.
        case let error as RunError where error.kind == .unavailable: Failure(.unavailable, error.message)
        case let error as RunError where error.poolError != nil: error.poolError.flatMap(cloudFailure)
        case let error as RunError: Failure(.call(error.code), "\(error.code.name): \(error.message) (run \(error.runID))")
        default: nil
        }
    }
}
