// The ceilings of this machine as JSON: for each instruction set it can run, with 1, 2 and THREADS threads, the read bandwidth (GB/s) and
// the peaks of the integer dot product and of the float multiply-add (billions of multiply-adds a second). Not a test.
// usage: ceilings [-j THREADS] [-n REPEATS] [-m MIB]

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "ceilings.h"

namespace {

int fail(const std::string& what) {
  fprintf(stderr, "ceilings: %s\nusage: ceilings [-j THREADS] [-n REPEATS] [-m MIB]\n", what.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  // 1 GiB: far beyond any cache, 0.1 s a reading.
  long threads = 2, repeats = 5, mib = 1024;
  for (int i = 1; i < argc; i += 2) {
    const std::string key = argv[i];
    long* option = key == "-j" ? &threads : key == "-n" ? &repeats : key == "-m" ? &mib : nullptr;
    if (option == nullptr) return fail("unknown option " + key);
    char* end = nullptr;
    *option = i + 1 < argc ? strtol(argv[i + 1], &end, 10) : 0;
    if (end == nullptr || *end != 0 || *option < 1 || *option > 65536) return fail(key + " takes a whole number from 1 to 65536");
  }
  const size_t bytes = static_cast<size_t>(mib) << 20;
  auto* memory = static_cast<uint8_t*>(aligned_alloc(4096, bytes));
  if (memory == nullptr) return fail("no memory for " + std::to_string(mib) + " MiB");
  memset(memory, 1, bytes);

  printf("{\"classes\": [");
  const char* separator = "";
  for (const qw::test::MachineClass& machine : qw::test::machine_classes()) {
    if (!machine.supported) continue;
    printf("%s\n  {\"name\": \"%s\", \"dot\": \"%s\", \"fma\": \"%s\", \"measured\": [", separator, machine.name, machine.dot_name,
           machine.multiply_add_name);
    separator = ",";
    const char* inner = "";
    for (const long n : std::set<long>{1, 2, threads}) {
      const qw::test::Ceilings c = measure_ceilings(machine, memory, bytes, static_cast<int>(n), static_cast<int>(repeats));
      printf("%s\n    {\"threads\": %ld, \"read_gb_per_second\": %.2f, ", inner, n, c.read_gb);
      printf("\"dot_gmac_per_second\": %.1f, \"fma_gmac_per_second\": %.1f}", c.dot_gmac, c.fma_gmac);
      inner = ",";
      fflush(stdout);
    }
    printf("]}");
  }
  printf("\n]}\n");
  free(memory);
}
