/*
 * The virtual machine that guests see: the fixed addresses that the driver VM's device models answer and that the control
 * VM's ACPI tables and memory maps announce. One place, so that the two images cannot disagree.
 */
#ifndef DRIVERS_VM_LIB_PLATFORM_H
#define DRIVERS_VM_LIB_PLATFORM_H

/* Guest-physical memory map, bytes. RAM is [0, low) and, past 3 GiB of it, [4 GiB, ...). */
#define PLATFORM_LOW_RAM_LIMIT  0xC0000000ull /* RAM below 4 GiB ends here at most */
#define PLATFORM_HIGH_RAM_BASE  0x100000000ull
#define PLATFORM_ACPI_BASE      0x000E0000ull /* RSDP and tables; reserved in the memory map */
#define PLATFORM_ACPI_LIMIT     0x00100000ull
#define PLATFORM_PCI_MMIO_BASE  0xD0000000ull /* window for 32-bit BARs */
#define PLATFORM_PCI_MMIO_LIMIT 0xE0000000ull
#define PLATFORM_ECAM_BASE      0xE0000000ull /* bus 0 only: 1 MiB */
#define PLATFORM_ECAM_BYTES     0x00100000ull
#define PLATFORM_IOAPIC_BASE    0xFEC00000ull
#define PLATFORM_LAPIC_BASE     0xFEE00000ull

/* I/O ports */
#define PLATFORM_COM1_PORT          0x3F8u /* IRQ 4 */
#define PLATFORM_COM1_IRQ           4u
#define PLATFORM_RTC_PORT           0x70u /* IRQ 8 */
#define PLATFORM_RTC_IRQ            8u
#define PLATFORM_SLEEP_CONTROL_PORT 0x600u /* FADT SLEEP_CONTROL_REG (ACPI 4.8.3.7): SLP_TYP 5 is off */
#define PLATFORM_SLEEP_STATUS_PORT  0x601u
#define PLATFORM_RESET_PORT         0x602u /* FADT RESET_REG: write PLATFORM_RESET_VALUE */
#define PLATFORM_RESET_VALUE        0x01u
#define PLATFORM_SLP_TYP_S5         5u
#define PLATFORM_POWER_BUTTON_GSI   9u      /* edge: one pulse is one press of the ACPI power button */
#define PLATFORM_WATCHDOG_PORT      0x610u  /* what ACPI's WDAT describes; below */
#define PLATFORM_CPU_PORT           0x620u  /* processors that come and go; below */
#define PLATFORM_CPU_GSI            10u     /* edge: a pulse says that some shall come or go */
#define PLATFORM_ACPI_PORTS_LAST    0x63Fu  /* of those from PLATFORM_SLEEP_CONTROL_PORT on */
#define PLATFORM_PCI_IO_BASE        0xC000u /* window for I/O BARs */
#define PLATFORM_PCI_IO_LIMIT       0xFFFFu

/* The watchdog's registers, from its port on. */
#define PLATFORM_WATCHDOG_RUNNING     0u /* byte: 1 while it runs; a write starts or stops it */
#define PLATFORM_WATCHDOG_TOUCH       1u /* byte: a write of anything begins the countdown anew */
#define PLATFORM_WATCHDOG_COUNT       2u /* 16 bits: periods of the next countdown */
#define PLATFORM_WATCHDOG_LEFT        4u /* 16 bits: periods that are left of this one */
#define PLATFORM_WATCHDOG_PORTS       8u
#define PLATFORM_WATCHDOG_PERIOD_MS   100u
#define PLATFORM_WATCHDOG_COUNT_MIN   10u
#define PLATFORM_WATCHDOG_COUNT_MAX   0xFFFFu
#define PLATFORM_WATCHDOG_COUNT_FIRST 300u

/* The processors' registers, from their port on; bit n of each is processor n. */
#define PLATFORM_CPU_PRESENT  0u  /* 64 bits, read only */
#define PLATFORM_CPU_CAME     8u  /* 64 bits: since it was last cleared, by writing ones */
#define PLATFORM_CPU_SHALL_GO 16u /* likewise: those that the guest is asked to let go of */
#define PLATFORM_CPU_EJECT    24u /* byte, write only: the number of one that it has let go of */
#define PLATFORM_CPU_PORTS    32u

/* IOAPIC: id follows the last vCPU's APIC id; 24 pins; ISA IRQ n is pin n, edge, active high, but IRQ 0 is pin 2. */
#define PLATFORM_IOAPIC_PINS 24u
#define PLATFORM_MAX_VCPUS   64u

#endif
