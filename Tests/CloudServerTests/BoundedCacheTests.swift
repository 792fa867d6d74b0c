import MastCloudServer
import MastTimebase
import Testing

@Suite struct BoundedCacheTests {
    @Test func `a cache agrees with a plain list that does the same slowly`() {
        var generator = SeededGenerator(seed: 8)
        var cache = BoundedCache<UInt64, UInt64>(maximumCost: 40, maximumCount: 12)
        var model: [(key: UInt64, value: UInt64, cost: Int)] = []  // newest last
        for step in UInt64(0)..<5000 {
            let key = generator.next(below: 30)
            switch generator.next(below: 4) {
            case 0:
                cache.remove(key)
                model.removeAll { $0.key == key }
            case 1:
                let expected = model.firstIndex { $0.key == key }
                #expect(cache.value(key) == expected.map { model[$0].value })
                if let expected { model.append(model.remove(at: expected)) }
            default:
                let cost = Int(generator.next(below: 12))
                cache.insert(key, step, cost: cost)
                model.removeAll { $0.key == key }
                while model.reduce(0, { $0 + $1.cost }) + cost > 40 || model.count >= 12 { model.removeFirst() }
                model.append((key, step, cost))
            }
            #expect(cache.count == model.count && cache.totalCost == model.reduce(0) { $0 + $1.cost })
        }
        for entry in model { #expect(cache.contains(entry.key)) }
    }

    @Test func `what is larger than the whole cache is not kept and displaces nothing`() {
        var cache = BoundedCache<Int, Int>(maximumCost: 10)
        cache.insert(1, 1, cost: 5)
        cache.insert(2, 2, cost: 11)
        #expect(cache.contains(1) && !cache.contains(2))
    }
}
