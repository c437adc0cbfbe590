#include "client/cli/gradient_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;

TEST(GradientFlags, AreReadAndWrittenInTheSameWords) {
  GradientFlags flags;
  flags.clipping = "value:1.5,norm:5";
  flags.schedule = "warmup:500+cosine:10000,0.01";
  flags.staleness_scaling = "on";
  flags.delay_compensation = 0.04;
  v1::TableSpec spec;
  ASSERT_TRUE(ReadGradientFlags(flags, spec).ok());
  EXPECT_EQ(spec.clipping().value(), 1.5);
  EXPECT_EQ(spec.clipping().norm(), 5);
  EXPECT_EQ(spec.schedule().kind(), v1::Schedule::COSINE);
  EXPECT_EQ(spec.schedule().warmup(), 500u);
  EXPECT_EQ(spec.schedule().period(), 10000u);
  EXPECT_EQ(spec.schedule().floor(), 0.01);
  EXPECT_TRUE(spec.staleness_scaling());
  EXPECT_EQ(spec.delay_compensation(), 0.04);
  EXPECT_EQ(GradientText(spec),
            "clipping value:1.5,norm:5, schedule warmup:500+cosine:10000,0.01, "
            "staleness-scaling, delay-compensation 0.04");
}

TEST(GradientFlags, WhatIsNotGivenIsNotAltered) {
  v1::AlterTableRequest request;
  ASSERT_TRUE(ReadGradientFlags(GradientFlags(), request).ok());
  EXPECT_FALSE(request.has_clipping());
  EXPECT_FALSE(request.has_schedule());
  EXPECT_FALSE(request.has_staleness_scaling());
  EXPECT_FALSE(request.has_delay_compensation());
  GradientFlags off;
  off.clipping = "off";
  off.schedule = "constant";
  off.staleness_scaling = "off";
  off.delay_compensation = 0;
  EXPECT_TRUE(off.any());
  ASSERT_TRUE(ReadGradientFlags(off, request).ok());
  EXPECT_TRUE(request.has_clipping() && request.has_schedule() &&
              request.has_staleness_scaling() &&
              request.has_delay_compensation());
  EXPECT_EQ(GradientText(v1::TableSpec()), "plain");
}

TEST(Schedules, AreReadInEveryForm) {
  for (const char* text :
       {"constant", "warmup:5", "step:10,0.5", "warmup:5+step:10,0.5",
        "cosine:10,0", "cosine:10,0.1", "warmup:1+cosine:7,1"}) {
    v1::Schedule schedule;
    ASSERT_TRUE(ReadSchedule(text, schedule).ok()) << text;
    EXPECT_EQ(ScheduleText(schedule), text);
  }
  v1::Schedule schedule;
  ASSERT_TRUE(ReadSchedule("cosine:10", schedule).ok());
  EXPECT_EQ(ScheduleText(schedule), "cosine:10,0");
  ASSERT_TRUE(ReadSchedule("warmup:5+constant", schedule).ok());
  EXPECT_EQ(ScheduleText(schedule), "warmup:5");
}

TEST(Schedules, AreRefusedWithAnExample) {
  for (const char* text :
       {"", "cosine", "cosine:0", "cosine:10,2", "cosine:10,", "step:10",
        "step:10,nan", "step:x,0.5", "warmup", "warmup:0", "warmup:5+",
        "warmup:5+warmup:5", "linear:5", "constant:1", "step:10,0.5+warmup:5",
        "cosine:99999999999999999999"}) {
    v1::Schedule schedule;
    EXPECT_THAT(std::string(ReadSchedule(text, schedule).message()),
                HasSubstr("warmup:500+cosine:10000,0.01"))
        << text;
  }
}

TEST(Clippings, AreRefusedWithAnExample) {
  for (const char* text : {"", "5", "norm", "norm:", "norm:0", "norm:-1",
                           "norm:x", "norm:1,norm:2", "mean:1", "norm:1,"}) {
    v1::Clipping clipping;
    EXPECT_THAT(std::string(ReadClipping(text, clipping).message()),
                HasSubstr("norm:5"))
        << text;
  }
}

}  // namespace
}  // namespace paramo::cli
