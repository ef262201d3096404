// The container's memory limit, read from directories that look like /proc and /sys/fs/cgroup.
#include "alloc/os/cgroup.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <pthread.h>
#include <unistd.h>

#include "tests/alloc/support.h"

namespace {

using lull::os::cgroup_cpu_limit;
using lull::os::cgroup_memory_limit;
using lull::os::kNoLimit;
namespace fs = std::filesystem;

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() : root_(fs::temp_directory_path() / ("lull_cgroup_" + std::to_string(::getpid()))) { fs::create_directories(root_); }
  ~CgroupTest() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::size_t limit() const { return cgroup_memory_limit(root_.c_str()); }
  std::size_t cpus() const { return cgroup_cpu_limit(root_.c_str()); }

  void mount_version2(const std::string& group, const std::string& mounted = "/") {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo", "22 1 0:21 / /proc rw,nosuid - proc proc rw\n"
                                 "30 23 0:26 " + mounted + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void mount_version1(const std::string& group, const std::string& mounted = "/") {
    write("proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:hugetlb,memory:" + group + "\n0::/\n");
    write("proc/self/mountinfo", "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                 "32 30 0:28 " + mounted + " /sys/fs/cgroup/memory rw shared:1 master:2 - cgroup cgroup rw,hugetlb,memory\n");
  }

 private:
  fs::path root_;
};

TEST_F(CgroupTest, NoFilesNoLimit) { EXPECT_EQ(limit(), kNoLimit); }

TEST_F(CgroupTest, Version2TakesTheLeastOnThePath) {
  mount_version2("/system.slice/app.service/inner");
  write("sys/fs/cgroup/system.slice/memory.max", "2000000000\n");
  write("sys/fs/cgroup/system.slice/app.service/memory.max", "1000000000\n");
  write("sys/fs/cgroup/system.slice/app.service/inner/memory.max", "max\n");
  write("sys/fs/cgroup/other.slice/memory.max", "5\n");
  EXPECT_EQ(limit(), 1'000'000'000u);
  write("sys/fs/cgroup/system.slice/memory.max", "500000000\n");
  EXPECT_EQ(limit(), 500'000'000u);
  write("sys/fs/cgroup/system.slice/app.service/inner/memory.high", "400000000\n");
  EXPECT_EQ(limit(), 400'000'000u);
}

TEST_F(CgroupTest, Version2WithoutALimit) {
  mount_version2("/a");
  write("sys/fs/cgroup/a/memory.max", "max\n");
  EXPECT_EQ(limit(), kNoLimit);
}

// In a name space of its own a container is at the root.
TEST_F(CgroupTest, TheRootOfAContainerHasALimit) {
  mount_version2("/");
  write("sys/fs/cgroup/memory.max", "64000000\n");
  EXPECT_EQ(limit(), 64'000'000u);
}

// Without one, /proc tells the host's path and the mount shows the container's group alone.
TEST_F(CgroupTest, OnlyThePartThatIsMountedIsRead) {
  mount_version2("/docker/abc/worker", "/docker/abc");
  write("sys/fs/cgroup/memory.max", "3000000\n");
  write("sys/fs/cgroup/worker/memory.max", "2000000\n");
  EXPECT_EQ(limit(), 2'000'000u);
  mount_version2("/docker/abcdef", "/docker/abc");
  EXPECT_EQ(limit(), 3'000'000u);
}

TEST_F(CgroupTest, Version1) {
  mount_version1("/docker/abc");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(limit(), kNoLimit);
  write("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "134217728\n");
  EXPECT_EQ(limit(), 134'217'728u);
}

TEST_F(CgroupTest, OddFilesAreNoLimit) {
  mount_version2("/a");
  for (const char* text : {"", "\n", "no number\n", "-5\n", " 5\n"}) {
    write("sys/fs/cgroup/a/memory.max", text);
    EXPECT_EQ(limit(), kNoLimit) << text;
  }
  write("proc/self/cgroup", "0::/" + std::string(5000, 'x') + "\n");
  EXPECT_EQ(limit(), kNoLimit);
  write("proc/self/mountinfo", "- - -\n\n1 2 3\n");
  EXPECT_EQ(limit(), kNoLimit);
}

TEST_F(CgroupTest, QuotasAreThousandthsOfAProcessorTheLeastOnThePath) {
  EXPECT_EQ(kNoLimit, cpus());
  mount_version2("/system.slice/app.service");
  EXPECT_EQ(kNoLimit, cpus());
  write("sys/fs/cgroup/system.slice/app.service/cpu.max", "max 100000\n");
  EXPECT_EQ(kNoLimit, cpus());
  write("sys/fs/cgroup/system.slice/app.service/cpu.max", "150000 100000\n");
  EXPECT_EQ(1500u, cpus());
  write("sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n");
  EXPECT_EQ(500u, cpus());
  EXPECT_EQ(kNoLimit, limit());
  for (const char* odd : {"", "\n", "100000\n", "100000 0\n", "0 100000\n", "99999999999999999999999 1\n", "x y\n"}) {
    write("sys/fs/cgroup/system.slice/cpu.max", odd);
    EXPECT_EQ(1500u, cpus()) << odd;
  }
  write("sys/fs/cgroup/system.slice/cpu.max", "1 100000\n");
  EXPECT_EQ(1u, cpus());
}

TEST_F(CgroupTest, QuotasOfVersion1) {
  mount_version1("/docker/abc");
  EXPECT_EQ(kNoLimit, cpus());
  write("sys/fs/cgroup/cpu/elsewhere/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/elsewhere/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(kNoLimit, cpus());
  write("sys/fs/cgroup/cpu/elsewhere/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(2500u, cpus());
  write("sys/fs/cgroup/memory/docker/abc/cpu.cfs_quota_us", "100\n");  // not in the controller's hierarchy
  EXPECT_EQ(2500u, cpus());
}

// It is read by whoever makes the heap pass 8 MiB.
TEST(Cgroup, IsReadOnTheSmallestStack) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "frames are larger there";
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(0, pthread_attr_setstacksize(&attributes, 16384));
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(&thread, &attributes, [](void*) -> void* { return reinterpret_cast<void*>(lull::os::cgroup_memory_limit("")); }, nullptr));
  void* limit = nullptr;
  pthread_join(thread, &limit);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(lull::os::cgroup_memory_limit(""), reinterpret_cast<std::size_t>(limit));
}

TEST_F(CgroupTest, ErrnoIsKept) {
  errno = 42;
  EXPECT_EQ(limit(), kNoLimit);
  EXPECT_EQ(errno, 42);
}

TEST(ParseBytes, TakesSuffixes) {
  const auto parse = [](const char* text) {
    std::size_t bytes = 0;
    return lull::os::parse_bytes(text, bytes) ? bytes : 0;
  };
  EXPECT_EQ(parse("1073741824"), 1073741824u);
  EXPECT_EQ(parse("64K"), 64u << 10);
  EXPECT_EQ(parse("64k"), 64u << 10);
  EXPECT_EQ(parse("512MiB"), std::size_t{512} << 20);
  EXPECT_EQ(parse("2GB"), std::size_t{2} << 30);
  EXPECT_EQ(parse("3T"), std::size_t{3} << 40);
  EXPECT_EQ(parse("100B"), 100u);
  for (const char* wrong : {"", "0", "K", "-1", "1.5G", "5X", "5MM", "5M ", " 5M", "99999999999999999999", "99999999999G"})
    EXPECT_EQ(parse(wrong), 0u) << wrong;
}

// LULL_MEMORY_LIMIT="5 " was 5 PiB: a blank made a capital letter is the 0 that ends the list of units, where strchr found it, as a
// fifth unit. Found by tests/fuzz/options.cc.
TEST(ParseBytes, ABlankIsNoUnit) {
  std::size_t bytes = 77;
  for (const char* wrong : {"5 ", "5 B", "5 iB", "1073741824 "}) EXPECT_FALSE(lull::os::parse_bytes(wrong, bytes)) << wrong;
  EXPECT_EQ(bytes, 77u);
}

}  // namespace
